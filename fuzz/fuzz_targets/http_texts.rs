//! Bytes as a URL, as where a redirect leads, and as a `.netrc`: read or refused, never a panic.
#![no_main]

use highwater::net::http::{Url, netrc};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let base = Url::parse(b"https://example.org/a/b?c").expect("a URL");
    for url in [Url::parse(data), base.join(data)].into_iter().flatten() {
        assert!(url.target.starts_with('/') && url.target.bytes().all(|byte| byte.is_ascii_graphic()));
        let again = Url::parse(url.to_string().as_bytes()).expect("it was one");
        assert_eq!((again.target, again.is_secure), (url.target, url.is_secure));
    }
    if let Ok(text) = str::from_utf8(data) {
        let _ = netrc::find(text, "example.org");
    }
});
