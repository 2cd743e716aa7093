//! What RFC 8259 accepts and refuses, as a table: a value for each rule of the grammar, and near misses.

use super::json::Scanner;

/// Whether the bytes are one value, with white space around it, read at once and byte by byte.
fn is_accepted(bytes: &[u8]) -> bool {
    let space = |byte: &&u8| b" \t\r\n".contains(byte);
    let start = bytes.iter().take_while(space).count();
    let bytes = &bytes[start..];
    let whole = Scanner::new().scan(bytes, true);
    let mut scanner = Scanner::new();
    let pieces = (1..=bytes.len()).try_fold(None, |found, end| match found {
        None => scanner.scan(&bytes[..end], end == bytes.len()),
        found => Ok(found),
    });
    assert_eq!(whole.is_ok(), pieces.is_ok() && !bytes.is_empty(), "{bytes:?}");
    matches!(whole, Ok(Some(end)) if bytes[end..].iter().all(|byte| space(&byte)))
}

#[test]
fn valid_values_are_accepted() {
    let texts: &[&[u8]] = &[
        b"[]",
        b"{}",
        b" [ ] ",
        b"\t{\r\n}\n",
        b"null",
        b"true",
        b"false",
        b"\"\"",
        b"0",
        b"-0",
        b"[null, 1, \"1\", {}]",
        b"123",
        b"-12.340",
        b"1e5",
        b"1E+5",
        b"1e-5",
        b"0e1",
        b"-0e+1",
        b"0.0e00",
        b"1e99999",
        b"123456789012345678901234567890",
        b"0.00000000000000000000000000000000000000000000000000000001",
        b"{\"a\":{\"b\":[{\"c\":[]}]}}",
        b"{\"a\":1,\"a\":2}",
        b"{\"\":0}",
        b"{\"a\\u0000b\":null}",
        b"[[[[[]]]]]",
        b"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"",
        b"\"\\u0041\\uD83D\\ude00\"",
        b"\"\\uD800\"",
        b"\"\\udc00\\ud800x\"",
        b"\"\x7f\"",
        "\"\u{80}é€\u{ffff}😀\u{10ffff}\"".as_bytes(),
        "{\"ключ\":\"\u{2028}\"}".as_bytes(),
        b"\"/ & \\/ '\"",
        b"[1\n,2\r,3]",
        b"1E-02",
        b"[20e1]",
        b"\"\\ufffe\\uFFFF\"",
        b"[\"a\"] ",
        b"{\"a\":[],\"b\":{}}",
    ];
    for text in texts {
        assert!(is_accepted(text), "{}", String::from_utf8_lossy(text));
    }
}

#[track_caller]
fn refused(texts: &[&[u8]]) {
    for text in texts {
        assert!(!is_accepted(text), "{}", String::from_utf8_lossy(text));
    }
}

#[test]
fn invalid_structures_are_refused() {
    refused(&[
        b"",
        b" ",
        b"[",
        b"]",
        b"{",
        b"}",
        b"[}",
        b"{]",
        b"[1",
        b"[1,",
        b"[1,]",
        b"[,1]",
        b"[,]",
        b"[1,,2]",
        b"[1 2]",
        b"[1:2]",
        b"[1]]",
        b"{}}",
        b"{}{}",
        b"[][]",
        b"[1]x",
        b"{\"a\"",
        b"{\"a\":",
        b"{\"a\":1",
        b"{\"a\":1,",
        b"{\"a\":1,}",
        b"{,}",
        b"{\"a\"}",
        b"{\"a\" 1}",
        b"{\"a\"::1}",
        b"{\"a\",1}",
        b"{\"a\":1 \"b\":2}",
        b"{\"a\":1,,\"b\":2}",
        b"{a:1}",
        b"{'a':1}",
        b"{1:1}",
        b"{null:1}",
        b"{[]:1}",
        b"{\"a\":}",
        b"{:1}",
        b"{\"a\":1]",
        b"[\"a\":1]",
        b"[\"a\",\"b\":1]",
        b"*",
        b"<x>",
        b"//",
        b"[1]/**/",
        b"[/**/1]",
        b"{\"a\":1}#",
        b"\x00",
        b"[1\x00]",
        b"\x0c[]",
        b"[\x0b1]",
        "[\u{a0}1]".as_bytes(),
        "\u{feff}[]".as_bytes(),
        b"\\u005b]",
        b"[\\n]",
        b"[*]",
        b"[\"a\",,]",
        b"[1[2]]",
        b"[x",
        "{🙂}".as_bytes(),
        b"{\"a\":1,\"b\"}",
        b"{\"a\":1 2}",
        b"1]",
        b"['",
        b"[{",
        b"[\"a",
        b"[\"a\"",
        b"{[",
        b"{\"a",
        b"[1,nul",
        "aé".as_bytes(),
        "[\u{2060}]".as_bytes(),
    ]);
}

#[test]
fn invalid_words_and_numbers_are_refused() {
    refused(&[
        b"nul",
        b"tru",
        b"fals",
        b"True",
        b"NULL",
        b"truefalse",
        b"nullx",
        b"[tru]",
        b"[nan]",
        b"undefined",
        b"-",
        b"+1",
        b"01",
        b"-01",
        b"00",
        b"1.",
        b".5",
        b"-.5",
        b"1.e1",
        b"1e",
        b"1e+",
        b"1e-",
        b"1E1.5",
        b"1ee1",
        b"1.2.3",
        b"--1",
        b"-+1",
        b"1+1",
        b"1_000",
        b"1,000",
        b"0x1f",
        b"0b1",
        b"1f",
        b"1L",
        b"NaN",
        b"Infinity",
        b"-Infinity",
        b"- 1",
        b"1 e5",
        b"[-]",
        b"[1e]",
        b"[2.]",
        b"[0e+]",
        "\u{ff11}".as_bytes(),
        b"2@",
        b"[1a]",
        b"-NaN",
        b"++1",
        b".-1",
        b"2.e+3",
        b"9.e+",
        b"1.2a-3",
        b"-1.0.",
        b"[-012]",
    ]);
}

#[test]
fn invalid_strings_are_refused() {
    refused(&[
        b"\"",
        b"\"a",
        b"a\"",
        b"'a'",
        b"`a`",
        b"\"\\\"",
        b"\"\\",
        b"\"\\x41\"",
        b"\"\\a\"",
        b"\"\\'\"",
        b"\"\\0\"",
        b"\"\\U0041\"",
        b"\"\\u\"",
        b"\"\\u1\"",
        b"\"\\u12\"",
        b"\"\\u123\"",
        b"\"\\u123g\"",
        b"\"\\u 041\"",
        b"\"\\u+041\"",
        b"\"\\uD83D\\u\"",
        b"\"\n\"",
        b"\"\t\"",
        b"\"\r\"",
        b"\"\x00\"",
        b"\"\x1f\"",
        b"[\"a\nb\"]",
        b"{\"a\tb\":1}",
        b"\"a\"b",
        b"\"a\"\"b\"",
        b"\"\\ud800\\u1x\"",
        "\"\\🙂\"".as_bytes(),
        b"\"\\\xe9\"",
        b"\"\\u\xe9\"",
        b"\"\\\x00\"",
    ]);
}

#[test]
fn invalid_encodings_are_refused() {
    refused(&[
        b"\"\x80\"",
        b"\"\xff\"",
        b"\"\xc0\xaf\"",
        b"\"\xe0\x80\x80\"",
        b"\"\xed\xa0\x80\"",
        b"\"\xf4\x90\x80\x80\"",
        b"\"\xe2\x82\"",
        b"\"\xf0\x9f\x98\"",
        b"{\"\xff\":0}",
        b"[\xff]",
        b"\xff\xfe[\x00]\x00",
        b"\x00[\x00]",
        b"\"\xc3(\"",
        b"\xef\xbb{}",
        b"\xe9",
        "\u{feff}".as_bytes(),
    ]);
}

#[test]
fn nesting_has_an_end() {
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let nested = |depth: usize| open.repeat(depth) + "1" + &close.repeat(depth);
        assert!(is_accepted(nested(1024).as_bytes()));
        assert!(Scanner::new().scan(nested(1025).as_bytes(), true).is_err());
        assert!(Scanner::new().scan(open.repeat(100_000).as_bytes(), true).is_err());
    }
}
