//! The rows of HTTP, against an nginx of their own.

use std::fs;
use std::io::{self, BufRead, BufReader};
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::compare::{Goal, Work};
use crate::contender::{Contender, found};
use crate::data::Data;
use crate::run::Route;

/// A server of every file by its whole path, and of uploads to `/to` and such a path.
#[derive(Debug)]
pub struct Server {
    process: Child,
    plain: u16,
    secure: u16,
    certificate: String,
}

impl Server {
    /// Starts one; `None` where nginx or openssl is missing.
    pub fn start(data: &Data) -> io::Result<Option<Self>> {
        if found("nginx").is_none() || found("openssl").is_none() {
            return Ok(None);
        }
        let folder = data.path("web");
        fs::create_dir_all(&folder)?;
        let path = |name: &str| folder.join(name).display().to_string();
        let (key, certificate) = (path("key"), path("certificate"));
        let made = Command::new("openssl")
            .args([
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:prime256v1",
                "-nodes",
            ])
            .args([
                "-subj",
                "/CN=localhost",
                "-addext",
                "subjectAltName=DNS:localhost",
                "-addext",
                "basicConstraints=critical,CA:FALSE",
                "-days",
                "30",
            ])
            .args(["-keyout", &key, "-out", &certificate])
            .stderr(Stdio::null())
            .status()?;
        if !made.success() {
            return Err(io::Error::other("openssl made no certificate"));
        }
        let free = || {
            TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?
                .local_addr()
                .map(|address| address.port())
        };
        let (plain, secure) = (free()?, free()?);
        // As the superuser it would change to another user, who may not see the files.
        let user = if rustix::process::geteuid().is_root() {
            "user root;"
        } else {
            ""
        };
        let configuration = format!(
            "daemon off; {user} worker_processes 1; pid {pid}; error_log stderr notice; events {{}}\n\
             http {{ access_log off; sendfile on; client_max_body_size 0; client_body_temp_path {body};\n\
             server {{ listen 127.0.0.1:{plain}; listen 127.0.0.1:{secure} ssl; root /;\n\
             ssl_certificate {certificate}; ssl_certificate_key {key};\n\
             location /to/ {{ alias /; dav_methods PUT; }} }} }}\n",
            pid = path("pid"),
            body = path("body"),
        );
        fs::write(folder.join("nginx.conf"), configuration)?;
        let mut process = Command::new("nginx")
            .args(["-c", &path("nginx.conf"), "-p", &path("")])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()?;
        let mut said = BufReader::new(process.stderr.take().expect("a pipe"));
        let mut all = String::new();
        while !all.contains("start worker process ") {
            if said.read_line(&mut all)? == 0 {
                return Err(io::Error::other(format!("nginx did not start: {all}")));
            }
        }
        // A full pipe would stop it.
        std::thread::spawn(move || io::copy(&mut said, &mut io::sink()));
        Ok(Some(Self {
            process,
            plain,
            secure,
            certificate,
        }))
    }

    /// Where a file is, without TLS.
    pub fn url(&self, file: &Path) -> String {
        format!("http://127.0.0.1:{}{}", self.plain, file.display())
    }

    /// The rows, beside curl.
    pub fn works(&self, tar: &Path) -> Vec<Work> {
        let plain = format!("http://127.0.0.1:{}", self.plain);
        let secure = format!("https://localhost:{}", self.secure);
        let (trust, cacert) = (
            format!("ca={}", self.certificate),
            format!("--cacert {}", self.certificate),
        );
        let row = |name, route, ours: String, theirs: String| Work {
            name,
            route,
            input: tar.to_owned(),
            expected: tar.to_owned(),
            unpack: None,
            repeat: 1,
            ours: Contender::new(&format!("highwater -q {ours}")),
            peers: vec![Contender::new(&format!("curl -s -S -H Expect: {theirs}"))],
            must: Goal {
                peak: Some(1.0),
                ..Goal::of("curl", 1.0, "≤ 1.0 × curl, RSS ≤ curl's")
            },
            aim: Goal::of("curl", 0.8, "≤ 0.8 × curl"),
        };
        let file = tar.display();
        vec![
            row(
                "GET to /dev/null",
                Route::Null,
                format!("read {plain}{file} :: write {{sink}}"),
                format!("-o {{sink}} {plain}{file}"),
            ),
            row(
                "GET to a file",
                Route::File,
                format!("read {plain}{file} :: write {{out}} sync=false"),
                format!("-o {{out}} {plain}{file}"),
            ),
            row(
                "PUT of a file",
                Route::File,
                format!("read {{in}} :: write {plain}/to{{out}}"),
                format!("-T {{in}} {plain}/to{{out}}"),
            ),
            row(
                "GET to /dev/null, TLS",
                Route::Null,
                format!("read {secure}{file} {trust} :: write {{sink}}"),
                format!("{cacert} -o {{sink}} {secure}{file}"),
            ),
            row(
                "PUT of a file, TLS",
                Route::File,
                format!("read {{in}} :: write {secure}/to{{out}} {trust}"),
                format!("{cacert} -T {{in}} {secure}/to{{out}}"),
            ),
        ]
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = rustix::process::kill_process(
            rustix::process::Pid::from_child(&self.process),
            rustix::process::Signal::TERM,
        );
        let _ = self.process.wait();
    }
}
