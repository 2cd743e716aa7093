//! Completions: clap's own for the options, and around them the stages and their parameters from the catalog.
//!
//! Each shell's script is clap's and a template in `completions/`, in which `@NAME@` stands for text from the catalog.
//! The template decides whether the cursor is in a pipeline, and leaves everything else to clap's part.

use std::fmt::Write;

use clap_complete::Shell;

use crate::catalog::{Definition, Kind, Param, Role, Topic, all_params};
use crate::cli::options;
use crate::endpoints::SCHEMES;
use crate::plan;

/// One script for each shell.
pub fn scripts() -> Vec<super::Generated> {
    let file = |name: &str, text: String| (format!("completions/{name}"), text);
    vec![
        file("highwater.bash", bash()),
        file("_highwater", zsh()),
        file("highwater.fish", fish()),
        file("highwater.elv", elvish()),
        file("_highwater.ps1", powershell()),
    ]
}

/// clap's script: options and subcommands of a program of this name.
fn plain(shell: Shell, name: &str) -> String {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut options::command_without_pipeline(), name, &mut text);
    String::from_utf8_lossy(&text).trim_end().to_owned()
}

/// Fills in what every shell's template has in common.
fn filled(template: &str) -> String {
    let named = |roles: &[Role]| -> String {
        let catalog = plan::catalog().into_iter();
        let names = catalog
            .filter(|stage| roles.contains(&stage.role))
            .map(|stage| stage.name);
        names.collect::<Vec<_>>().join(" ")
    };
    let command = options::command();
    let valued = command
        .get_arguments()
        .filter(|option| option.get_action().takes_values());
    let valued: Vec<String> = valued
        .filter_map(|option| Some(format!("--{}", option.get_long()?)))
        .collect();
    let prefixes = SCHEMES
        .iter()
        .map(|scheme| scheme.prefix)
        .filter(|prefix| !prefix.is_empty());
    template
        .replace("@FIRST@", &named(&[Role::Source, Role::Transform, Role::Branch]))
        .replace("@LATER@", &named(&[Role::Transform, Role::Branch, Role::Sink]))
        .replace(
            "@ALL@",
            &named(&[Role::Source, Role::Transform, Role::Branch, Role::Sink]),
        )
        .replace("@ENDPOINTS@", &prefixes.collect::<Vec<_>>().join(" "))
        .replace("@VALUED@", &valued.join(" "))
}

/// One line for each stage, made by `line`.
fn each(line: impl Fn(&Definition) -> String) -> String {
    let lines: Vec<String> = plan::catalog().into_iter().map(line).collect();
    lines.join("\n")
}

/// The values that can be listed.
fn values(param: &Param) -> Vec<String> {
    match param.kind {
        Kind::Flag => vec!["true".to_owned(), "false".to_owned()],
        Kind::Choice(words) => words.iter().map(|&word| word.to_owned()).collect(),
        Kind::Integer { min, max } if max.saturating_sub(min) < 32 => {
            (min..=max).map(|number| number.to_string()).collect()
        }
        _ => Vec::new(),
    }
}

/// As a word in single quotes, for bash and zsh.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

fn bash() -> String {
    let parameters = each(|stage| {
        let words: Vec<String> = all_params(stage)
            .flat_map(|param| {
                let listed = values(param);
                let values = if listed.is_empty() {
                    vec![String::new(), param.kind.placeholder()]
                } else {
                    listed
                };
                values.into_iter().map(|value| format!("{}={value}", param.name))
            })
            .collect();
        format!("        {}) echo {} ;;", stage.name, quoted(&words.join(" ")))
    });
    let ours = filled(include_str!("completions/bash.sh")).replace("@PARAMETERS@", &parameters);
    // The last registration counts, which is the template's.
    format!("{}\n\n{ours}", plain(Shell::Bash, "highwater"))
}

fn zsh() -> String {
    let described = |name: &str, help: &str| quoted(&format!("{}:{help}", name.replace(':', "\\:")));
    let stages = each(|stage| format!("    {}", described(stage.name, stage.summary)));
    let parameters = each(|stage| {
        let words: Vec<String> = all_params(stage)
            .map(|param| described(&format!("{}=", param.name), param.help))
            .collect();
        format!("        {}) reply=({}) ;;", stage.name, words.join(" "))
    });
    let values = each(|stage| {
        let mut cases = String::new();
        for param in all_params(stage).filter(|param| !values(param).is_empty()) {
            let _ = writeln!(
                cases,
                "        {}:{}) reply=({}) ;;",
                stage.name,
                param.name,
                values(param).join(" ")
            );
        }
        cases.trim_end().to_owned()
    });
    let values: Vec<&str> = values.lines().filter(|line| !line.is_empty()).collect();
    let ours = filled(include_str!("completions/zsh.sh"))
        .replace("@STAGES@", &stages)
        .replace("@PARAMETERS@", &parameters)
        .replace("@VALUES@", &values.join("\n"))
        .replace("@CHECK@", &zsh_options("check"));
    let topics = Topic::ALL.map(|topic| {
        let catalog = plan::catalog().into_iter();
        let names: Vec<&str> = catalog
            .filter(|stage| stage.topic == topic)
            .map(|stage| stage.name)
            .collect();
        format!(
            "    {}",
            quoted(&format!("{}:{}", topic.heading().replace(':', ""), names.join(" ")))
        )
    });
    let ours = ours.replace("@TOPICS@", &topics.join("\n"));
    // Under another name clap's functions are helpers of the template. They are registered for a command that does not
    // exist.
    format!(
        "#compdef highwater\n\n{}\n\n{ours}",
        plain(Shell::Zsh, "highwater_options")
    )
}

/// The options of a subcommand for zsh's `_arguments`: a line each, to be continued.
fn zsh_options(name: &str) -> String {
    let command = options::command();
    let options = command
        .find_subcommand(name)
        .into_iter()
        .flat_map(clap::Command::get_arguments);
    let line = |option: &clap::Arg| {
        let help = option.get_help().map(ToString::to_string).unwrap_or_default();
        let help = help.replace('[', "\\[").replace(']', "\\]");
        let (sign, value) = if option.get_action().takes_values() {
            ("=", ":value:_default")
        } else {
            ("", "")
        };
        let word = format!("--{}{sign}[{help}]{value}", option.get_long()?);
        Some(format!("                    {} \\", quoted(&word)))
    };
    options.filter_map(line).collect::<Vec<_>>().join("\n")
}

fn fish() -> String {
    let word = |text: &str| format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"));
    let stages = each(|stage| format!("        {} {}", word(stage.name), word(stage.summary)));
    // fish reads a line behind a backslash as the same command.
    let stages = stages.replace('\n', " \\\n");
    let parameters = each(|stage| {
        let mut lines = format!("        case {}\n", stage.name);
        for param in all_params(stage) {
            let listed = values(param);
            let values = if listed.is_empty() { vec![String::new()] } else { listed };
            for value in values {
                let _ = writeln!(
                    lines,
                    "            echo {}\\t{}",
                    word(&format!("{}={value}", param.name)),
                    word(param.help)
                );
            }
        }
        lines.trim_end().to_owned()
    });
    let ours = filled(include_str!("completions/fish.fish"))
        .replace("@STAGES@", &stages)
        .replace("@PARAMETERS@", &parameters);
    format!("{}\n\n{ours}", plain(Shell::Fish, "highwater"))
}

/// Elvish and `PowerShell` give no access to the inside of a quoted word, so only the `::` form is completed there.
fn elvish() -> String {
    let parameters = each(|stage| {
        let words: Vec<String> = all_params(stage)
            .map(|param| quoted(&format!("{}=", param.name)))
            .collect();
        format!("    &{}=[{}]", stage.name, words.join(" "))
    });
    let ours = filled(include_str!("completions/elvish.elv")).replace("@PARAMETERS@", &parameters);
    format!("{}\n\n{ours}", plain(Shell::Elvish, "highwater"))
}

fn powershell() -> String {
    let parameters = each(|stage| {
        let words: Vec<String> = all_params(stage).map(|param| format!("'{}='", param.name)).collect();
        format!("        '{}' = @({})", stage.name, words.join(", "))
    });
    let ours = filled(include_str!("completions/powershell.ps1")).replace("@PARAMETERS@", &parameters);
    // The template goes where clap's list is complete and about to be returned.
    let plain = plain(Shell::PowerShell, "highwater") + "\n";
    plain.replacen(
        "    $completions.Where{",
        &format!("{}\n    $completions.Where{{", ours.trim_end()),
        1,
    )
}
