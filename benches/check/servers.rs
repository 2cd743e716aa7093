//! Real servers, and what is true of them.

use super::case::{ServerCase, Truth};
use Truth::{Buffers, Honours, Unclear};

const NGINX: &str = "daemon off; user root; worker_processes 2; pid DIR/pid; error_log DIR/log;
events {}
http {
  access_log off;
  client_body_temp_path DIR/body; proxy_temp_path DIR/proxy; fastcgi_temp_path DIR/fastcgi;
  uwsgi_temp_path DIR/uwsgi; scgi_temp_path DIR/scgi;
  server {
    listen 127.0.0.1:PORT;
    root DIR;
    location /buffered { proxy_pass http://127.0.0.1:UPSTREAM/waits; }
    location /unbuffered { proxy_pass http://127.0.0.1:UPSTREAM/waits; proxy_buffering off; }
    location /no-files { proxy_pass http://127.0.0.1:UPSTREAM/waits; proxy_max_temp_file_size 0; }
  }
}
";

const LIGHTTPD: &str = "server.port = PORT
server.bind = \"127.0.0.1\"
server.document-root = \"DIR\"
server.upload-dirs = ( \"DIR\" )
server.modules = ( \"mod_proxy\" )
$HTTP[\"url\"] =~ \"^/waits\" {
  proxy.server = ( \"\" => ( ( \"host\" => \"127.0.0.1\", \"port\" => UPSTREAM ) ) )
}
";

const NGINX_COMMAND: &[&str] = &["nginx", "-p", "DIR", "-c", "DIR/nginx.conf"];
const LIGHTTPD_COMMAND: &[&str] = &["lighttpd", "-D", "-f", "DIR/lighttpd.conf"];

const fn server(
    name: &'static str,
    needs: &'static [&'static str],
    command: &'static [&'static str],
    path: &'static str,
    truth: Truth,
) -> ServerCase {
    ServerCase {
        name,
        needs,
        command,
        config: None,
        path,
        options: &[],
        truth,
    }
}

const fn nginx(name: &'static str, path: &'static str, truth: Truth) -> ServerCase {
    ServerCase {
        config: Some(("nginx.conf", NGINX)),
        options: &["--clients=3"],
        ..server(name, &["nginx", "python3"], NGINX_COMMAND, path, truth)
    }
}

const fn lighttpd(name: &'static str, path: &'static str, truth: Truth) -> ServerCase {
    ServerCase {
        config: Some(("lighttpd.conf", LIGHTTPD)),
        options: &["--clients=3"],
        ..server(name, &["lighttpd", "python3"], LIGHTTPD_COMMAND, path, truth)
    }
}

const NODE: &[&str] = &["node", "@export.js", "PORT"];
const PYTHON: &[&str] = &["python3", "@export.py", "PORT"];

pub const SERVERS: &[ServerCase] = &[
    server("node, pipeline", &["node"], NODE, "/waits", Honours),
    server("node, write at once", &["node"], NODE, "/ignores", Buffers),
    server("node, whole body", &["node"], NODE, "/whole", Buffers),
    server("node, trickle", &["node"], NODE, "/trickle", Unclear),
    server("node, short", &["node"], NODE, "/short", Unclear),
    server("node, not found", &["node"], NODE, "/nowhere", Unclear),
    server("python threads", &["python3"], PYTHON, "/waits", Honours),
    server("python threads, whole body", &["python3"], PYTHON, "/whole", Buffers),
    server("python threads, trickle", &["python3"], PYTHON, "/trickle", Unclear),
    server(
        "gunicorn, one sync worker",
        &["gunicorn"],
        &["gunicorn", "--chdir", "@", "-b", "127.0.0.1:PORT", "wsgi:app"],
        "/waits",
        Honours,
    ),
    server(
        "gunicorn, threads",
        &["gunicorn"],
        &[
            "gunicorn",
            "--chdir",
            "@",
            "--threads",
            "16",
            "-b",
            "127.0.0.1:PORT",
            "wsgi:app",
        ],
        "/waits",
        Honours,
    ),
    server(
        "waitress",
        &["waitress-serve"],
        &["waitress-serve", "--listen=127.0.0.1:PORT", "wsgi:app"],
        "/waits",
        Honours,
    ),
    nginx("nginx, static", "/file", Honours),
    nginx("nginx, proxy", "/buffered", Buffers),
    nginx("nginx, proxy without buffering", "/unbuffered", Honours),
    nginx("nginx, proxy without files", "/no-files", Honours),
    lighttpd("lighttpd, static", "/file", Honours),
    lighttpd("lighttpd, proxy", "/waits", Buffers),
];
