//! Where keys and settings come from.

use crate::harness::Folder;
use crate::http::{Server as Scripted, header};
use crate::s3_server::{Deed, Relay, server, without_keys};

/// The key's id of a signed request.
fn key_of(head: &str) -> &str {
    let authorization = header(head, "authorization").expect("signed");
    let id = authorization.split("Credential=").nth(1).expect("a credential");
    id.split('/').next().expect("an id")
}

#[test]
fn missing_keys_are_told_before_anything_is_opened() {
    let Some(server) = server() else { return };
    let folder = Folder::new();
    let run = without_keys(server.address(), ["read s3://bucket/k | write a"])
        .within(&folder)
        .run();
    let line = run.fails(9);
    let why =
        ": cannot get credentials: there are none: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or have them in";
    assert!(line.contains(why), "{line}");
    assert_eq!(folder.names(), [""; 0]);
    let run = without_keys(server.address(), ["read s3://id:secret@bucket/k | write a"])
        .within(&folder)
        .run();
    assert_eq!(run.code, Some(2));
    assert!(
        run.stderr.contains("credentials in a URL are not accepted"),
        "{}",
        run.stderr
    );
}

#[test]
fn explain_tells_that_keys_are_missing() {
    let nowhere = "127.0.0.1:9".parse().expect("an address");
    for pipeline in ["read s3://bucket/k", "read a | write s3://bucket/k"] {
        let plan = without_keys(nowhere, ["explain", pipeline]).run().succeeds();
        let plan = String::from_utf8(plan).expect("text");
        assert!(
            plan.contains("    but cannot get credentials: there are none: "),
            "{plan}"
        );
    }
}

#[test]
fn profiles_have_keys_and_settings() {
    let Some(server) = server() else { return };
    let (bucket, home) = (server.bucket(), Folder::new());
    server.ask("PUT", &format!("/{bucket}/k"), b"hello");
    let relay = Relay::new(&server, |_, _| Deed::Pass);
    std::fs::create_dir(home.join(".aws")).expect("made");
    let config = format!(
        "[profile p]\nregion = eu-west-1\nendpoint_url = http://{}\n",
        relay.address
    );
    home.write(".aws/config", config);
    let keys = "[p]\naws_access_key_id = AKIDPROFILE\naws_secret_access_key = x\naws_session_token = t0ken\n";
    home.write(".aws/credentials", keys);
    let run = crate::harness::highwater([format!("read s3://{bucket}/k profile=p")]);
    let run = run.environment("HOME", &home.path().display().to_string());
    let run = run
        .environment("AWS_ACCESS_KEY_ID", "AKIDENV")
        .environment("AWS_SECRET_ACCESS_KEY", "y")
        .run();
    assert_eq!(run.succeeds(), b"hello");
    let requests = relay.requests();
    assert_eq!(key_of(&requests[0]), "AKIDPROFILE");
    assert!(requests[0].contains("/eu-west-1/s3/aws4_request"), "{}", requests[0]);
    assert_eq!(header(&requests[0], "x-amz-security-token"), Some("t0ken"));
}

#[test]
fn web_identity_is_sent_where_it_is_told() {
    let Some(server) = server() else { return };
    let (bucket, folder) = (server.bucket(), Folder::new());
    server.ask("PUT", &format!("/{bucket}/k"), b"hello");
    let relay = Relay::new(&server, |_, _| Deed::Pass);
    let token = folder
        .write("token", "eyJhbGciOiJub25lIn0.e30.\n")
        .display()
        .to_string();
    let run = |sts: &str| {
        let run = without_keys(relay.address, [format!("read s3://{bucket}/k")]);
        let run = run.environment("AWS_WEB_IDENTITY_TOKEN_FILE", &token);
        let run = run.environment("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/reader");
        run.environment("AWS_ENDPOINT_URL_STS", sts).run()
    };
    let line = run("").fails(9).to_owned();
    assert!(line.contains("set AWS_ENDPOINT_URL_STS"), "{line}");
    assert_eq!(run(&format!("http://{}", server.address())).succeeds(), b"hello");
    let requests = relay.requests();
    assert!(key_of(&requests[0]).starts_with("ASIA"), "{}", requests[0]);
    assert!(header(&requests[0], "x-amz-security-token").is_some());
}

#[test]
fn metadata_service_is_asked_only_if_told() {
    let Some(server) = server() else { return };
    let bucket = server.bucket();
    server.ask("PUT", &format!("/{bucket}/k"), b"hello");
    let relay = Relay::new(&server, |_, _| Deed::Pass);
    let of = |body: &str| format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let keys = "{\"AccessKeyId\": \"AKIDMACHINE\", \"SecretAccessKey\": \"x\", \"Token\": \"t\", \
                \"Expiration\": \"2099-01-01T00:00:00Z\"}";
    let machine = Scripted::of([of("session"), of("role one\n"), of(keys)]);
    let run = |more: &str| {
        let run = without_keys(relay.address, [format!("read s3://{bucket}/k {more}")]);
        run.environment("AWS_EC2_METADATA_SERVICE_ENDPOINT", &machine.url(""))
            .run()
    };
    let line = run("").fails(9).to_owned();
    assert!(line.contains("imds=true asks the machine's metadata service"), "{line}");
    assert_eq!(run("imds=true").succeeds(), b"hello");
    let requests = machine.requests();
    assert_eq!(requests.len(), 3, "none without imds=true");
    assert!(requests[0].starts_with("PUT /latest/api/token "), "{}", requests[0]);
    assert_eq!(header(&requests[2], "x-aws-ec2-metadata-token"), Some("session"));
    let path = "GET /latest/meta-data/iam/security-credentials/role%20one ";
    assert!(requests[2].starts_with(path), "{}", requests[2]);
    assert_eq!(key_of(&relay.requests()[0]), "AKIDMACHINE");
}

#[test]
fn wrong_settings_are_usage_errors() {
    let Some(server) = server() else { return };
    for (pipeline, why) in [
        (
            "read s3://bucket/k endpoint=ftp://h | write /dev/null",
            "neither http:// nor https://",
        ),
        (
            "read s3://bucket/k profile=none | write /dev/null",
            "cannot use the profile `none`",
        ),
        ("write s3://bucket/k part=1MiB", "S3 takes parts of 5MiB to 5GiB"),
        ("write s3://bucket", "the key is missing"),
    ] {
        let run = server.run(pipeline).run();
        assert_eq!(run.code, Some(2), "{pipeline}: {}", run.stderr);
        assert!(run.stderr.contains(why), "{}", run.stderr);
    }
}

/// Prints the signature that botocore, AWS's own library, makes for the head of a request on standard input.
const BOTOCORE: &str = r#"
import sys
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
lines = sys.stdin.buffer.read().decode().split("\r\n")
method, target, _ = lines[0].split(" ")
fields = dict(line.split(": ", 1) for line in lines[1:] if line)
signed = fields["authorization"].split("SignedHeaders=")[1].split(",")[0].split(";")
headers = {name: fields[name] for name in signed if name != "host"}
request = AWSRequest(method, "http://" + fields["host"] + target, headers=headers)
request.context["timestamp"] = fields["x-amz-date"]
auth = S3SigV4Auth(Credentials("AKIDEXAMPLE", "s3cret", fields.get("x-amz-security-token")), "s3", "us-east-1")
text = auth.string_to_sign(request, auth.canonical_request(request))
print(auth.signature(text, request), end="")
"#;

#[test]
fn botocore_signs_every_request_alike() {
    let Some(server) = server() else { return };
    let relay = Relay::new(&server, |_, _| Deed::Pass);
    let bucket = server.bucket();
    for key in ["../a b//c", "č?#%41+&=", "~t-_.(x)*!';:@$,[]{}|^`<>"] {
        let quoted = format!("write \"s3://{bucket}/{key}\" if-absent=true");
        let run = relay
            .run(quoted)
            .environment("AWS_SESSION_TOKEN", "to/k+en=")
            .input("hello");
        run.run().succeeds();
    }
    let data = crate::harness::noise(5 * super::MIB + 1, 1);
    relay
        .run(format!("write s3://{bucket}/parts"))
        .input(data)
        .run()
        .succeeds();
    let requests = relay.requests();
    assert_eq!(requests.len(), 3 * 2 + 6);
    for head in requests {
        let authorization = header(&head, "authorization").expect("signed");
        let ours = authorization.split("Signature=").nth(1).expect("a signature");
        let mut python = crate::harness::peer("python3").expect("it runs the server");
        python.args(["-c", BOTOCORE]);
        let (_, theirs) = crate::harness::through(python, head.as_bytes());
        assert_eq!(ours.as_bytes(), theirs, "{head}");
    }
}
