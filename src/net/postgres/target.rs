//! Which server and database: from a URL, the environment and the password file, as libpq does (PostgreSQL
//! documentation, chapter 34: "Connection Strings", "Environment Variables", "The Password File").

use std::fmt;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};

use crate::catalog::Misnamed;
use crate::error::{Failure, Kind, brief, shown};
use crate::net::tls::TlsFiles;
use crate::net::{Address, AddressError};
use crate::platform::files;

/// The port if none is given.
const PORT: u16 = 5432;
/// As much of a password file as is read, in bytes.
const LARGEST_FILE: u64 = 1 << 20;
/// Where distributions' servers have their sockets.
const SOCKET_FOLDER: &str = "/var/run/postgresql";

/// A database on a server, and who asks.
#[derive(Clone)]
pub struct Target {
    /// Where the server is.
    pub host: Host,
    /// The name of the database.
    pub database: String,
    /// The name of the role.
    pub user: String,
    /// Whether and how the connection is encrypted.
    pub encryption: Encryption,
    /// The files for TLS.
    pub files: TlsFiles,
    /// Options for the session, as in `PGOPTIONS`.
    pub options: Option<String>,
}

/// Where a server is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Host {
    /// Behind a TCP port.
    Tcp(Address),
    /// At a socket of this machine.
    Socket(PathBuf),
}

/// Whether a TCP connection is encrypted: libpq's `sslmode`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Encryption {
    /// Never.
    Disable,
    /// If the server can; who it is, is not checked.
    #[default]
    Prefer,
    /// Always; who it is, is not checked unless an authority is given.
    Require,
    /// Always, and the server has to prove its name.
    Verify,
}

impl Encryption {
    fn named(text: &str) -> Option<Self> {
        Some(match text {
            "disable" => Self::Disable,
            "allow" | "prefer" => Self::Prefer,
            "require" => Self::Require,
            // The name is checked in both: that is stricter than libpq's verify-ca.
            "verify-ca" | "verify-full" => Self::Verify,
            _ => return None,
        })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::Tcp(address) => write!(f, "postgres://{address}/{}", self.database),
            Host::Socket(path) => write!(f, "postgres:///{} at {}", self.database, shown_path(path)),
        }
    }
}

fn read(file: &Path) -> io::Result<Vec<u8>> {
    let opened = files::open(file, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    let mut text = Vec::new();
    files::Stream(&opened).take(LARGEST_FILE).read_to_end(&mut text)?;
    Ok(text)
}

fn shown_path(path: &Path) -> String {
    shown(path.as_os_str().as_encoded_bytes())
}

fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

impl Target {
    /// Parses what follows `postgres://`; what it leaves out is taken from `variable`, which is the environment.
    ///
    /// # Errors
    /// The problem. Neither of its texts repeats a password.
    pub fn parse(text: &[u8]) -> Result<Self, Misnamed> {
        Self::parse_with(text, environment)
    }

    fn parse_with(text: &[u8], variable: impl Fn(&str) -> Option<String>) -> Result<Self, Misnamed> {
        let url = Url::parse(text)?;
        let port = url.parameter("port").or_else(|| variable("PGPORT"));
        let port = port.map(|text| port_of(&text)).transpose()?.unwrap_or(PORT);
        let host = url
            .parameter("host")
            .or_else(|| url.host.clone())
            .or_else(|| variable("PGHOST"));
        let user = url
            .user
            .clone()
            .or_else(|| url.parameter("user"))
            .or_else(|| variable("PGUSER"));
        let user = user.or_else(|| variable("USER")).or_else(|| variable("LOGNAME"));
        let Some(user) = user else {
            let help = "write postgres://USER@HOST/DATABASE, or set PGUSER";
            return Err(Misnamed::new("the user is missing", help));
        };
        let database = url
            .database
            .clone()
            .or_else(|| url.parameter("dbname"))
            .or_else(|| variable("PGDATABASE"));
        let mode = url.parameter("sslmode").or_else(|| variable("PGSSLMODE"));
        let encryption = mode.map_or(Ok(Encryption::default()), |mode| {
            let message = format!("`{}` is not a mode of encryption", brief(mode.as_bytes()));
            let wrong = || Misnamed::new(message, "sslmode is disable, prefer, require or verify-full");
            Encryption::named(&mode).ok_or_else(wrong)
        })?;
        let authorities = url.parameter("sslrootcert").or_else(|| variable("PGSSLROOTCERT"));
        let authorities = authorities
            .map(PathBuf::from)
            .filter(|path| path != Path::new("system"));
        let encryption = match encryption {
            Encryption::Require if authorities.is_some() => Encryption::Verify,
            other => other,
        };
        Ok(Self {
            host: host_of(host, port)?,
            database: database.unwrap_or_else(|| user.clone()),
            user,
            encryption,
            files: TlsFiles {
                authorities,
                certificates: variable("PGSSLCERT").map(PathBuf::from),
                key: variable("PGSSLKEY").map(PathBuf::from),
                unverified: encryption != Encryption::Verify,
            },
            options: url.parameter("options").or_else(|| variable("PGOPTIONS")),
        })
    }

    /// The password, from `PGPASSWORD` or the password file.
    ///
    /// # Errors
    /// [`Kind::Usage`] if the file cannot be read.
    pub fn password(&self) -> Result<Option<Vec<u8>>, Failure> {
        if let Some(password) = environment("PGPASSWORD") {
            return Ok(Some(password.into_bytes()));
        }
        let named = environment("PGPASSFILE").map(PathBuf::from);
        let file = named
            .clone()
            .or_else(|| Some(Path::new(&environment("HOME")?).join(".pgpass")));
        let Some(file) = file else { return Ok(None) };
        match read(&file) {
            Ok(text) => Ok(self.password_in(&text)),
            Err(error) if named.is_none() && error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => {
                let operation = format!("cannot read the passwords in {}", shown_path(&file));
                Err(Failure::io(Kind::Usage, operation, error))
            }
        }
    }

    /// The password of the first line that fits: `HOST:PORT:DATABASE:USER:PASSWORD`, where `*` fits everything and a
    /// backslash makes a colon or a backslash part of a field.
    fn password_in(&self, text: &[u8]) -> Option<Vec<u8>> {
        let (host, port) = match &self.host {
            Host::Tcp(address) => (address.host.clone(), address.port),
            Host::Socket(path) => {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                let port = name.rsplit('.').next().and_then(|port| port.parse().ok());
                ("localhost".to_owned(), port.unwrap_or(PORT))
            }
        };
        let wanted = [host, port.to_string(), self.database.clone(), self.user.clone()];
        let lines = text.split(|byte| *byte == b'\n').filter(|line| !line.starts_with(b"#"));
        lines.map(fields).find_map(|fields| {
            let [rest @ .., password] = fields.as_slice() else {
                return None;
            };
            let fits = rest.len() == 4
                && rest
                    .iter()
                    .zip(&wanted)
                    .all(|(field, wanted)| field == b"*" || field == wanted.as_bytes());
            fits.then(|| password.clone())
        })
    }
}

/// How a URL is written.
const FORM: &str = "write postgres://[USER@]HOST[:PORT]/DATABASE";

/// The parts of a URL, decoded; what is empty is not there.
struct Url {
    user: Option<String>,
    host: Option<String>,
    database: Option<String>,
    parameters: Vec<(String, String)>,
}

impl Url {
    fn parse(text: &[u8]) -> Result<Self, Misnamed> {
        const KNOWN: [&str; 7] = ["host", "port", "user", "dbname", "sslmode", "sslrootcert", "options"];
        let text = std::str::from_utf8(text).map_err(|_| Misnamed::new("the URL is not UTF-8", FORM))?;
        let (rest, query) = text.split_once('?').unwrap_or((text, ""));
        let (authority, database) = rest.split_once('/').unwrap_or((rest, ""));
        let (user, host) = authority.rsplit_once('@').unwrap_or(("", authority));
        if user.contains(':') || query.split('&').any(|pair| pair.starts_with("password=")) {
            let help = "leave it out; PGPASSFILE, ~/.pgpass or PGPASSWORD have it";
            return Err(Misnamed::new("a password in a URL is not accepted", help));
        }
        let decoded = |text: &str| {
            let wrong = || Misnamed::new("a % is not followed by two hex digits", FORM);
            decoded(text).ok_or_else(wrong)
        };
        let part = |text: &str| Ok(Some(decoded(text)?).filter(|text| !text.is_empty()));
        let parameter = |pair: &str| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            if !KNOWN.contains(&key) {
                let message = format!("`{}` is not a parameter of the URL", brief(key.as_bytes()));
                return Err(Misnamed::new(message, format!("known: {}", KNOWN.join(", "))));
            }
            Ok((key.to_owned(), decoded(value)?))
        };
        Ok(Self {
            user: part(user)?,
            host: part(host)?,
            database: part(database)?,
            parameters: query
                .split('&')
                .filter(|pair| !pair.is_empty())
                .map(parameter)
                .collect::<Result<_, _>>()?,
        })
    }

    fn parameter(&self, key: &str) -> Option<String> {
        let found = self.parameters.iter().rev().find(|(known, _)| known == key);
        found.map(|(_, value)| value.clone())
    }
}

fn port_of(text: &str) -> Result<u16, Misnamed> {
    let wrong = || {
        let message = format!("`{}` is not a port", brief(text.as_bytes()));
        Misnamed::new(message, "a port is a number from 1 to 65535")
    };
    text.parse().ok().filter(|port| *port > 0).ok_or_else(wrong)
}

/// A name that begins with a slash is the folder of a socket.
fn host_of(host: Option<String>, port: u16) -> Result<Host, Misnamed> {
    let host = host.unwrap_or_else(|| SOCKET_FOLDER.to_owned());
    if host.starts_with('/') {
        return Ok(Host::Socket(socket(Path::new(&host), port)));
    }
    Address::parse(&host, Some(port)).map(Host::Tcp).map_err(|error| {
        let help = match &error {
            AddressError::BareIpv6(right) => format!("write postgres://{right}/"),
            AddressError::Port(_) => "a port is a number from 1 to 65535".to_owned(),
            _ => FORM.to_owned(),
        };
        Misnamed::new(error.to_string(), help)
    })
}

fn socket(folder: &Path, port: u16) -> PathBuf {
    folder.join(format!(".s.PGSQL.{port}"))
}

/// The fields of a line of a password file.
fn fields(line: &[u8]) -> Vec<Vec<u8>> {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let mut fields = vec![Vec::new()];
    let mut bytes = line.iter();
    while let Some(&byte) = bytes.next() {
        match byte {
            b':' if fields.len() < 5 => fields.push(Vec::new()),
            b'\\' => fields.last_mut().expect("one at least").extend(bytes.next()),
            byte => fields.last_mut().expect("one at least").push(byte),
        }
    }
    fields
}

/// Undoes percent-encoding.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        if byte == b'%' {
            let digits = std::str::from_utf8(after.get(..2)?).ok()?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
            rest = &after[2..];
        } else {
            bytes.push(byte);
            rest = after;
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(text: &str, variables: &[(&str, &str)]) -> Result<Target, String> {
        let variable = |name: &str| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        Target::parse_with(text.as_bytes(), variable).map_err(|wrong| wrong.message)
    }

    #[test]
    fn a_url_outranks_the_environment() {
        let variables = [
            ("PGHOST", "other"),
            ("PGPORT", "1"),
            ("PGUSER", "her"),
            ("PGDATABASE", "hers"),
            ("USER", "me"),
        ];
        for (text, shown, user) in [
            ("me@db.example:5433/shop", "postgres://db.example:5433/shop", "me"),
            ("", "postgres://other:1/hers", "her"),
            ("db/", "postgres://db:1/hers", "her"),
            ("/shop?host=/run/pg", "postgres:///shop at /run/pg/.s.PGSQL.1", "her"),
            (
                "%2Frun%2Fpg/shop?port=7",
                "postgres:///shop at /run/pg/.s.PGSQL.7",
                "her",
            ),
            ("a%40b@[::1]/x%20y", "postgres://[::1]:1/x y", "a@b"),
        ] {
            let found = target(text, &variables).expect(text);
            assert_eq!(
                (found.to_string().as_str(), found.user.as_str()),
                (shown, user),
                "{text}"
            );
        }
        let found = target("", &[("USER", "me")]).expect("a default");
        assert_eq!(found.to_string(), "postgres:///me at /var/run/postgresql/.s.PGSQL.5432");
    }

    #[test]
    fn wrong_urls_say_what_is_wrong() {
        for (text, message) in [
            ("me:hunter2@db/shop", "a password in a URL is not accepted"),
            ("me@db/shop?password=hunter2", "a password in a URL is not accepted"),
            ("me@db:0x/shop", "`0x` is not a port"),
            ("me@db/shop?port=0", "`0` is not a port"),
            ("me@db/shop?sslmode=on", "`on` is not a mode of encryption"),
            ("me@db/shop?timeout=1", "`timeout` is not a parameter of the URL"),
            ("me@db/sh%op", "a % is not followed by two hex digits"),
            ("db/shop", "the user is missing"),
        ] {
            assert_eq!(target(text, &[]).err().as_deref(), Some(message), "{text}");
        }
    }

    #[test]
    fn an_authority_makes_required_encryption_verified() {
        for (text, encryption, unverified) in [
            ("me@db/", Encryption::Prefer, true),
            ("me@db/?sslmode=require", Encryption::Require, true),
            ("me@db/?sslmode=verify-full", Encryption::Verify, false),
        ] {
            let found = target(text, &[]).expect(text);
            assert_eq!(
                (found.encryption, found.files.unverified),
                (encryption, unverified),
                "{text}"
            );
        }
    }

    #[test]
    fn the_first_fitting_line_has_the_password() {
        let file = b"# a comment\nother:5432:shop:me:wrong\ndb:5432:*:m\\:e:esc\\\\aped\ndb:*:shop:me:se:cret\r\n*:*:*:*:last\n";
        let password = |text: &str| target(text, &[]).expect(text).password_in(file).expect("one fits");
        assert_eq!(password("me@db/shop"), b"se:cret");
        assert_eq!(password("m%3Ae@db/shop"), b"esc\\aped");
        assert_eq!(password("me@db/else"), b"last");
        let found = target("me@nowhere/x", &[]).expect("fine");
        assert_eq!(found.password_in(b"a:b:c:d:e\n"), None);
    }
}
