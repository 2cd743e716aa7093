//! HTTP servers: of exact bytes, and the real ones.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use rustix::process::{Pid, Signal, kill_process};

use super::harness::{Folder, peer, reset};

/// How a server of exact bytes ends a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Ends its direction, and reads what still comes.
    Close,
    /// Resets the connection once the client has read what was sent.
    Reset,
}

/// A server that gives one response to each connection, whatever the request is.
pub struct Server {
    pub address: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Vec<String>>,
}

impl Server {
    /// Responds to the first connection with the first of these, and so on, and closes each of them.
    pub fn of<R: Into<Vec<u8>>>(responses: impl IntoIterator<Item = R>) -> Self {
        Self::with(responses.into_iter().map(|response| (response, End::Close)))
    }

    /// As [`Server::of`], with the end of each connection.
    pub fn with<R: Into<Vec<u8>>>(responses: impl IntoIterator<Item = (R, End)>) -> Self {
        let responses: Vec<(Vec<u8>, End)> = responses.into_iter().map(|(bytes, end)| (bytes.into(), end)).collect();
        let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
        let address = listener.local_addr().expect("bound");
        let stop = Arc::new(AtomicBool::new(false));
        let is_over = stop.clone();
        let thread = std::thread::spawn(move || {
            let mut requests = Vec::new();
            for (response, end) in responses {
                let (mut stream, _) = listener.accept().expect("a client");
                if is_over.load(Ordering::SeqCst) {
                    break;
                }
                requests.push(read_request(&mut stream));
                // A client that has seen enough may be gone.
                let _ = stream.write_all(&response);
                match end {
                    End::Close => {
                        let _ = stream.shutdown(Shutdown::Write);
                        let _ = stream.read_to_end(&mut Vec::new());
                    }
                    End::Reset => reset(stream),
                }
            }
            requests
        });
        Self { address, stop, thread }
    }

    /// A URL of it.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The requests that it has got, heads and bodies.
    pub fn requests(self) -> Vec<String> {
        self.stop.store(true, Ordering::SeqCst);
        // Ends the wait for a client that never came.
        let _ = TcpStream::connect(self.address);
        self.thread.join().expect("the server does not panic")
    }
}

/// Reads a head, and a body of a stated length.
pub fn read_request(stream: &mut TcpStream) -> String {
    let mut request = read_head(stream);
    let length = header(&request, "content-length").map_or(0, |length| length.parse().expect("a length"));
    let mut body = vec![0; length];
    stream.read_exact(&mut body).expect("the body");
    request += &String::from_utf8_lossy(&body);
    request
}

/// Reads up to the empty line, and no further.
pub fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).expect("a head") == 1 {
        head.push(byte[0]);
    }
    String::from_utf8(head).expect("text")
}

/// The value of a header of a request.
pub fn header<'r>(request: &'r str, name: &str) -> Option<&'r str> {
    let fields = request.lines().skip(1).map_while(|line| line.split_once(": "));
    let mut found = fields.filter(|(known, _)| known.eq_ignore_ascii_case(name));
    found.next().map(|(_, value)| value)
}

/// A server in a process of its own, which ends with the test.
pub struct Process {
    child: Child,
    pub address: SocketAddr,
}

impl Drop for Process {
    fn drop(&mut self) {
        // Not a kill: nginx has a process below it that would stay.
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        let _ = self.child.wait();
    }
}

impl Process {
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}

/// nginx, with `directives` in its `server` block and its files in `folder`. It takes over a listener of the test's, so
/// that clients can connect before it is ready.
pub fn nginx(folder: &Folder, directives: &str) -> Option<Process> {
    nginx_with(folder, "", directives)
}

/// [`nginx`] with TLS.
pub fn nginx_with(folder: &Folder, tls: &str, directives: &str) -> Option<Process> {
    let mut command = peer("nginx")?;
    let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
    let address = listener.local_addr().expect("bound");
    let root = folder.path().display();
    let config = folder.write(
        "nginx.conf",
        format!(
            "daemon off; user root; worker_processes 1; pid {root}/nginx.pid; error_log {root}/error.log;\n\
             events {{ }}\n\
             http {{ access_log off; client_body_temp_path {root}/body; client_max_body_size 0;\n\
             proxy_temp_path {root}/proxy; fastcgi_temp_path {root}/f; uwsgi_temp_path {root}/u; scgi_temp_path {root}/s;\n\
             server {{ listen {address} {tls}; root {root}; {directives} }} }}\n"
        ),
    );
    let child = command
        .arg("-c")
        .arg(config)
        .arg("-e")
        .arg(folder.join("error.log"))
        .env("NGINX", "0;")
        .stdin(OwnedFd::from(listener))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let child = child.expect("nginx starts");
    Some(Process { child, address })
}

/// A server in another language, whose first line on standard output is its port.
pub fn script(program: &str, arguments: &[&str], folder: &Folder) -> Option<Process> {
    let mut command = peer(program)?;
    command.args(arguments).current_dir(folder.path());
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("it starts");
    let mut line = String::new();
    let stdout = child.stdout.take().expect("stdout is a pipe");
    BufReader::new(stdout).read_line(&mut line).expect("a port");
    let port: u16 = line.trim().parse().expect("a port");
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    Some(Process { child, address })
}

/// Python's `http.server`, which also takes PUT requests and keeps their bodies under their names.
pub fn python(folder: &Folder) -> Option<Process> {
    const SERVER: &str = r#"
import http.server, sys
class Handler(http.server.SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_PUT(self):
        length = self.headers["Content-Length"]
        if length is not None:
            body = self.rfile.read(int(length))
        else:
            body = b""
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        with open("." + self.path, "wb") as file:
            file.write(body)
        with open("." + self.path + ".headers", "w") as file:
            file.write(str(self.headers))
        self.send_response(201)
        self.send_header("Content-Length", "0")
        self.end_headers()
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(server.server_address[1], flush=True)
server.serve_forever()
"#;
    script("python3", &["-c", SERVER], folder)
}
