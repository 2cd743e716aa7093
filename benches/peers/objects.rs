//! The rows of S3, against an s3s-fs of their own, which keeps objects as files.

use std::io;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::compare::{Goal, Work};
use crate::contender::{Contender, found};
use crate::data::Data;
use crate::run::Route;

/// The name and the secret of the keys.
const KEYS: [&str; 2] = ["AKIDEXAMPLE", "s3cret"];

/// A server of the folder of the data as a bucket.
#[derive(Debug)]
pub struct Server {
    process: Child,
    port: u16,
    bucket: String,
}

impl Server {
    /// Starts one; `None` where s3s-fs is missing.
    pub fn start(data: &Data) -> io::Result<Option<Self>> {
        let Some(program) = found("s3s-fs") else {
            return Ok(None);
        };
        let folder = data.path("");
        let (Some(root), Some(bucket)) = (folder.parent(), folder.file_name()) else {
            return Ok(None);
        };
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let [name, secret] = KEYS;
        let mut process = Command::new(program)
            .args(["--host", "127.0.0.1", "--port", &port.to_string()])
            .args(["--access-key", name, "--secret-key", secret])
            .arg(root)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            if process.try_wait()?.is_some() {
                return Err(io::Error::other("s3s-fs did not start"));
            }
            std::thread::yield_now();
        }
        Ok(Some(Self {
            process,
            port,
            bucket: bucket.to_string_lossy().into_owned(),
        }))
    }

    /// The rows, beside rclone and the tool of AWS.
    pub fn works(&self, tar: &Path) -> Vec<Work> {
        let endpoint = format!("http://127.0.0.1:{}", self.port);
        let bucket = &self.bucket;
        let [name, secret] = KEYS;
        let environment = format!(
            "env AWS_ACCESS_KEY_ID={name} AWS_SECRET_ACCESS_KEY={secret} AWS_DEFAULT_REGION=us-east-1 \
             AWS_ENDPOINT_URL={endpoint} AWS_CA_BUNDLE="
        );
        let rclone = "rclone --config /dev/null --ignore-times copyto";
        let remote = format!(
            "':s3,provider=Other,env_auth=true,force_path_style=true,no_check_bucket=true,endpoint=\"{endpoint}\":{bucket}"
        );
        let row = |name, ours: String, rclone: String, aws: String| {
            let command = |name: &str, line: &str| {
                let line = match name {
                    "highwater" => line.replacen("highwater", &found(name).unwrap_or_default().to_string_lossy(), 1),
                    _ => line.to_owned(),
                };
                Contender::named(name, &format!("{environment} {line}"))
            };
            Work {
                name,
                route: Route::File,
                input: tar.to_owned(),
                expected: tar.to_owned(),
                unpack: None,
                repeat: 1,
                ours: command("highwater", &ours),
                peers: vec![command("rclone", &rclone), command("aws", &aws)],
                must: Goal {
                    peak: Some(1.0 / 3.0),
                    ..Goal::of_best(1.0, "≤ 1.0 × rclone and aws, RSS ≤ a third")
                },
                aim: Goal::of_best(0.8, "≤ 0.8 ×"),
            }
        };
        let key = tar.file_name().unwrap_or_default().to_string_lossy();
        vec![
            row(
                "S3 put",
                format!("highwater -q read {{in}} :: write s3://{bucket}/output"),
                format!("{rclone} {{in}} {remote}/output'"),
                format!("aws s3 cp --quiet {{in}} s3://{bucket}/output"),
            ),
            row(
                "S3 get",
                format!("highwater -q read s3://{bucket}/{key} :: write {{out}} sync=false"),
                format!("{rclone} {remote}/{key}' {{out}}"),
                format!("aws s3 cp --quiet s3://{bucket}/{key} {{out}}"),
            ),
        ]
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
