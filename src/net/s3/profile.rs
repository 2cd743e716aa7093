//! Profiles of the AWS tools' shared files (AWS documentation, "Configuration and credential file settings").

use std::collections::HashMap;
use std::path::PathBuf;

use crate::error::{Failure, Kind, brief};
use crate::net::http::fields::read_file;

/// The settings of one profile, of both files.
#[derive(Default)]
pub struct Profile {
    settings: HashMap<String, String>,
}

impl Profile {
    /// Reads the profile that is `given` or that `AWS_PROFILE` names, or `default`, which may be missing.
    ///
    /// # Errors
    /// [`Kind::Usage`] if a file that is named cannot be read, or neither has the profile.
    pub fn load(given: Option<&str>, variable: &dyn Fn(&str) -> Option<String>) -> Result<Self, Failure> {
        let named = given.map(str::to_owned).or_else(|| variable("AWS_PROFILE"));
        let name = named.as_deref().unwrap_or("default");
        let mut profile = Self::default();
        let mut is_found = false;
        for (variable_name, default) in [
            ("AWS_CONFIG_FILE", ".aws/config"),
            ("AWS_SHARED_CREDENTIALS_FILE", ".aws/credentials"),
        ] {
            let text = match (variable(variable_name), variable("HOME")) {
                (Some(file), _) => read_file(&PathBuf::from(file))?,
                (None, Some(home)) => read_file(&PathBuf::from(home).join(default)).unwrap_or_default(),
                (None, None) => continue,
            };
            let section = section(&String::from_utf8_lossy(&text), name);
            is_found |= section.is_some();
            profile.settings.extend(section.unwrap_or_default());
        }
        if !is_found && named.is_some() {
            let why = "neither ~/.aws/config nor ~/.aws/credentials, nor the files that AWS_CONFIG_FILE and \
                       AWS_SHARED_CREDENTIALS_FILE name, have it";
            let operation = format!("cannot use the profile `{}`", brief(name.as_bytes()));
            return Err(Failure::because(Kind::Usage, operation, why));
        }
        Ok(profile)
    }

    /// A setting that is not empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        let value = self.settings.get(name)?;
        (!value.is_empty()).then_some(value.as_str())
    }
}

/// The settings of a section: `[NAME]` or `[profile NAME]`. Lines that are indented belong to other settings.
fn section(text: &str, name: &str) -> Option<HashMap<String, String>> {
    let mut found: Option<HashMap<String, String>> = None;
    let mut is_inside = false;
    for line in text.lines() {
        let line = line.trim_end();
        if let Some(title) = line.strip_prefix('[') {
            let title = title.split(']').next().unwrap_or_default().trim();
            let title = title.strip_prefix("profile ").unwrap_or(title).trim();
            is_inside = title.trim_matches(['"', '\'']) == name;
            if is_inside {
                found.get_or_insert_default();
            }
        } else if is_inside && !line.starts_with([' ', '\t', '#', ';']) {
            let (Some((key, value)), Some(found)) = (line.split_once('='), &mut found) else {
                continue;
            };
            let value = value.split(" #").next().unwrap_or_default().trim();
            found.insert(key.trim().to_ascii_lowercase(), value.to_owned());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_is_read_alone() {
        let text = "# a comment\n[default]\nregion = eu-west-1\ns3 =\n  region = nested\n[profile two words]\nregion=x\n\
                    aws_session_token = a=b== # not this\n;region = y\n\n[default]\nendpoint_url=http://h\n";
        let default = section(text, "default").expect("there");
        assert_eq!(default["region"], "eu-west-1");
        assert_eq!(default["endpoint_url"], "http://h");
        assert_eq!(section(text, "two words").expect("there")["aws_session_token"], "a=b==");
        assert!(section(text, "none").is_none());
    }

    #[test]
    fn credentials_outrank_the_configuration() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).expect("written");
            path.display().to_string()
        };
        let config = file("config", "[profile a]\nregion = r\naws_access_key_id = old\n");
        let credentials = file("credentials", "[a]\naws_access_key_id = new\n");
        let variable = |name: &str| match name {
            "AWS_CONFIG_FILE" => Some(config.clone()),
            "AWS_SHARED_CREDENTIALS_FILE" => Some(credentials.clone()),
            "AWS_PROFILE" => Some("b".to_owned()),
            _ => None,
        };
        let profile = Profile::load(Some("a"), &variable).unwrap_or_else(|failure| panic!("{failure}"));
        assert_eq!(
            (profile.get("region"), profile.get("aws_access_key_id")),
            (Some("r"), Some("new"))
        );
        let failure = Profile::load(None, &variable).err().expect("missing");
        assert_eq!(failure.kind(), Kind::Usage);
        assert!(
            failure.to_string().starts_with("cannot use the profile `b`: neither"),
            "{failure}"
        );
    }
}
