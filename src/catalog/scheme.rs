//! The schemes of endpoints.

use super::{Args, Param, Role};
use crate::error::Problem;
use crate::stage::Endpoint;

/// One scheme.
#[derive(Debug)]
pub struct Scheme {
    /// How it is written: `tcp://HOST:PORT`.
    pub form: &'static str,
    /// The prefix of its names.
    pub prefix: &'static str,
    /// What it is, in a phrase.
    pub summary: &'static str,
    /// How it is read; `None` if it cannot be.
    pub read: Option<Access>,
    /// How it is written; `None` if it cannot be.
    pub write: Option<Access>,
}

/// The parameters of an endpoint, and the function that makes it.
#[derive(Debug, Clone, Copy)]
pub struct Access {
    /// Its parameters besides those of every endpoint. The same name may be something else at another endpoint.
    pub params: &'static [Param],
    /// Makes the endpoint from the text behind the prefix, and its own parameters.
    pub place: fn(&[u8], &Args) -> Placed,
}

/// An endpoint, or why it is invalid.
pub type Placed = Result<Box<dyn Endpoint>, Problem>;

/// An invalid name of an endpoint: the problem, and how to correct it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misnamed {
    /// The problem.
    pub message: String,
    /// How to correct it.
    pub help: String,
}

impl Misnamed {
    /// An invalid name with these texts.
    pub fn new(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            help: help.into(),
        }
    }

    /// As a problem of the parameter `path`.
    #[must_use]
    pub fn of(self, args: &Args) -> Problem {
        Problem::at(args.span_of("path"), self.message).help(self.help)
    }
}

/// Other prefixes that users of a service are used to.
const ALIASES: [(&str, &str); 1] = [("postgresql://", "postgres://")];

/// Schemes that not every build has, each with the feature that it needs.
const FEATURES: [(&str, &str); 1] = [("nats", "nats")];

impl Scheme {
    /// Finds the scheme of a name, and what follows its prefix. The first scheme is that of plain paths.
    ///
    /// # Errors
    /// If the scheme is unknown.
    pub fn find<'n>(schemes: &[&'static Self], name: &'n [u8]) -> Result<(&'static Self, &'n [u8]), Misnamed> {
        if let Some(scheme) = schemes.iter().find(|scheme| scheme.is_named_by(name)) {
            return Ok((scheme, &name[scheme.prefix.len()..]));
        }
        for (alias, prefix) in ALIASES {
            if let Some(rest) = name.strip_prefix(alias.as_bytes())
                && let Some(scheme) = schemes.iter().find(|scheme| scheme.prefix == prefix)
            {
                return Ok((scheme, rest));
            }
        }
        let Some(unknown) = unknown(name) else {
            return Ok((schemes[0], name));
        };
        if let Some((_, feature)) = FEATURES.iter().find(|(scheme, _)| *scheme == unknown) {
            return Err(Misnamed::new(
                format!("this build cannot use {unknown}://"),
                format!("build it with --features {feature}"),
            ));
        }
        let known: Vec<&str> = schemes.iter().map(|scheme| scheme.form).collect();
        let near = schemes
            .iter()
            .map(|scheme| scheme.prefix)
            .filter(|prefix| strsim::damerau_levenshtein(prefix.trim_end_matches(['/', ':']), unknown) <= 1)
            .find(|prefix| prefix.len() > 1)
            .map(|prefix| format!("did you mean `{prefix}`? "))
            .unwrap_or_default();
        Err(Misnamed::new(
            format!("unknown scheme `{unknown}`"),
            format!("{near}known endpoints: {}", known.join(", ")),
        ))
    }

    /// `-` is a whole name; every other prefix is followed by more.
    fn is_named_by(&self, name: &[u8]) -> bool {
        match self.prefix {
            "-" => name == b"-",
            prefix => name.starts_with(prefix.as_bytes()),
        }
    }

    /// How a stage of that role uses it.
    #[must_use]
    pub fn access(&self, role: Role) -> Option<&Access> {
        match role {
            Role::Source => self.read.as_ref(),
            Role::Sink => self.write.as_ref(),
            Role::Transform | Role::Branch => None,
        }
    }
}

/// The scheme of an unknown URL; a path with a colon in it is a path.
fn unknown(name: &[u8]) -> Option<&str> {
    let at = name.windows(3).position(|three| three == b"://")?;
    let scheme = std::str::from_utf8(&name[..at]).ok()?;
    let plausible = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'));
    plausible.then_some(scheme)
}
