//! Finds the end of a JSON value and checks it, without recursion.

use super::text::{HIGH_BITS, specials};

/// The deepest nesting of arrays and objects.
pub const DEEPEST: usize = 1024;

/// Checks one value, which may come in pieces. It keeps no bytes: each call has the value from its beginning.
#[derive(Debug)]
pub struct Scanner {
    /// The value is checked up to here: between two tokens, or between two characters of a string.
    at: usize,
    next: Next,
    depth: usize,
    /// One bit for each open container: whether it is an object.
    objects: [u64; DEEPEST / 64],
    /// Whether a byte above 0x7f was seen.
    has_non_ascii: bool,
    has_newline: bool,
}

/// What comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    Value,
    /// A value, or the end of an array that was opened.
    FirstItem,
    /// A name, or the end of an object that was opened.
    FirstName,
    Name,
    Colon,
    /// A comma or an end; the end of the whole value if nothing is open.
    Rest,
    /// The rest of a name.
    InName,
    /// The rest of a string that is a value.
    InText,
}

/// Where a value is not JSON, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Invalid {
    /// The offset of the first byte that cannot stand there, counted from the beginning of the value.
    pub at: usize,
    /// Why, as in `a value is expected`.
    pub why: &'static str,
}

/// How a token ends.
enum Token {
    /// Behind its last byte.
    Ends(usize),
    /// It is not complete; so far it is checked up to here.
    Open(usize),
}

impl Scanner {
    /// A scanner at the beginning of a value.
    #[must_use]
    pub fn new() -> Self {
        Self {
            at: 0,
            next: Next::Value,
            depth: 0,
            objects: [0; DEEPEST / 64],
            has_non_ascii: false,
            has_newline: false,
        }
    }

    /// Goes to the beginning of another value.
    pub fn restart(&mut self) {
        self.at = 0;
        self.next = Next::Value;
        self.depth = 0;
        self.has_non_ascii = false;
        self.has_newline = false;
    }

    /// Whether the value has a newline between its tokens.
    #[must_use]
    pub fn has_newline(&self) -> bool {
        self.has_newline
    }

    /// Looks for the end of the value that begins `bytes`; returns its length, or `None` if it goes on behind them. The
    /// next call has the same bytes and more. `is_last` says that there are no more.
    ///
    /// # Errors
    /// If it is not JSON; also if it goes on behind the last bytes.
    pub fn scan(&mut self, bytes: &[u8], is_last: bool) -> Result<Option<usize>, Invalid> {
        let end = self.walk(bytes, is_last)?;
        if let Some(end) = end
            && self.has_non_ascii
            && let Err(error) = str::from_utf8(&bytes[..end])
        {
            return Err(invalid(error.valid_up_to(), "a string is not UTF-8"));
        }
        if end.is_none() && is_last {
            return Err(invalid(bytes.len(), "it ends too early"));
        }
        Ok(end)
    }

    fn walk(&mut self, bytes: &[u8], is_last: bool) -> Result<Option<usize>, Invalid> {
        let mut at = self.at;
        let mut next = self.next;
        macro_rules! pause {
            () => {{
                (self.at, self.next) = (at, next);
                return Ok(None);
            }};
        }
        loop {
            match next {
                Next::InName | Next::InText => match self.string(bytes, at)? {
                    Token::Ends(end) => {
                        at = end;
                        next = match (next, bytes.get(at)) {
                            // Most writers put no space before a colon.
                            (Next::InName, Some(b':')) => {
                                at += 1;
                                Next::Value
                            }
                            (Next::InName, _) => Next::Colon,
                            _ => Next::Rest,
                        };
                    }
                    Token::Open(checked) => {
                        at = checked;
                        pause!();
                    }
                },
                Next::Rest if self.depth == 0 => return Ok(Some(at)),
                Next::Rest if bytes.get(at..at + 2) == Some(b",\"") && self.is_in_object() => {
                    at += 2;
                    next = Next::InName;
                }
                _ => {
                    at = self.skip_space(bytes, at);
                    let Some(&byte) = bytes.get(at) else { pause!() };
                    match (next, byte) {
                        (Next::Rest, b',') => {
                            at += 1;
                            next = if self.is_in_object() { Next::Name } else { Next::Value };
                        }
                        (Next::Rest | Next::FirstName, b'}') if self.is_in_object() => {
                            at += 1;
                            self.depth -= 1;
                            next = Next::Rest;
                        }
                        (Next::Rest | Next::FirstItem, b']') if !self.is_in_object() => {
                            at += 1;
                            self.depth -= 1;
                            next = Next::Rest;
                        }
                        (Next::Name | Next::FirstName, b'"') => {
                            at += 1;
                            next = Next::InName;
                        }
                        (Next::Colon, b':') => {
                            at += 1;
                            next = Next::Value;
                        }
                        (Next::Value | Next::FirstItem, b'"') => {
                            at += 1;
                            next = Next::InText;
                        }
                        (Next::Value | Next::FirstItem, b'{' | b'[') => {
                            if self.depth == DEEPEST {
                                return Err(invalid(at, "it is nested more than 1024 levels deep"));
                            }
                            at += 1;
                            self.open(byte == b'{');
                            next = if byte == b'{' { Next::FirstName } else { Next::FirstItem };
                        }
                        (Next::Value | Next::FirstItem, _) => {
                            let token = match byte {
                                b'-' | b'0'..=b'9' => number(bytes, at, is_last)?,
                                b't' => literal(b"true", bytes, at)?,
                                b'f' => literal(b"false", bytes, at)?,
                                b'n' => literal(b"null", bytes, at)?,
                                _ => return Err(invalid(at, "a value is expected")),
                            };
                            let Token::Ends(end) = token else { pause!() };
                            at = end;
                            next = Next::Rest;
                        }
                        (Next::Name, _) => return Err(invalid(at, "a name in quotes is expected")),
                        (Next::FirstName, _) => return Err(invalid(at, "a name in quotes or `}` is expected")),
                        (Next::Colon, _) => return Err(invalid(at, "`:` is expected")),
                        (_, _) if self.is_in_object() => return Err(invalid(at, "`,` or `}` is expected")),
                        (_, _) => return Err(invalid(at, "`,` or `]` is expected")),
                    }
                }
            }
        }
    }

    fn open(&mut self, is_object: bool) {
        let (word, bit) = (self.depth / 64, 1 << (self.depth % 64));
        if is_object {
            self.objects[word] |= bit;
        } else {
            self.objects[word] &= !bit;
        }
        self.depth += 1;
    }

    fn is_in_object(&self) -> bool {
        let innermost = self.depth.wrapping_sub(1) % DEEPEST;
        self.objects[innermost / 64] >> (innermost % 64) & 1 == 1
    }

    #[inline]
    fn skip_space(&mut self, bytes: &[u8], mut at: usize) -> usize {
        while let Some(byte) = bytes.get(at) {
            match byte {
                b' ' | b'\t' | b'\r' => {}
                b'\n' => self.has_newline = true,
                _ => break,
            }
            at += 1;
        }
        at
    }

    /// Checks a string from `at`, which is inside of it.
    #[inline]
    fn string(&mut self, bytes: &[u8], mut at: usize) -> Result<Token, Invalid> {
        loop {
            while let Some(word) = bytes.get(at..at + 8) {
                let word = u64::from_le_bytes(word.try_into().expect("eight bytes"));
                self.has_non_ascii |= word & HIGH_BITS != 0;
                let special = specials(word);
                if special != 0 {
                    at += special.trailing_zeros() as usize / 8;
                    break;
                }
                at += 8;
            }
            let Some(&byte) = bytes.get(at) else {
                return Ok(Token::Open(at));
            };
            match byte {
                b'"' => return Ok(Token::Ends(at + 1)),
                b'\\' => match escape(&bytes[at..]) {
                    Some(0) => return Err(invalid(at, "there is no such escape")),
                    Some(length) => at += length,
                    None => return Ok(Token::Open(at)),
                },
                0..0x20 => return Err(invalid(at, "a control character in a string is not escaped")),
                _ => {
                    self.has_non_ascii |= byte > 0x7f;
                    at += 1;
                }
            }
        }
    }
}

impl Default for Scanner {
    fn default() -> Self {
        Self::new()
    }
}

/// The length of the escape that begins `bytes`; 0 if it is none, `None` if it is not complete.
#[inline]
fn escape(bytes: &[u8]) -> Option<usize> {
    match bytes.get(1)? {
        b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Some(2),
        b'u' => {
            let digits = &bytes[2..bytes.len().min(6)];
            if !digits.iter().all(u8::is_ascii_hexdigit) {
                return Some(0);
            }
            (digits.len() == 4).then_some(6)
        }
        _ => Some(0),
    }
}

#[inline]
fn number(bytes: &[u8], start: usize, is_last: bool) -> Result<Token, Invalid> {
    let digits = |mut at: usize| {
        while bytes.get(at).is_some_and(u8::is_ascii_digit) {
            at += 1;
        }
        at
    };
    let some_digits = |at: usize| {
        let end = digits(at);
        // At the end of the bytes more digits may come.
        if end == at && (is_last || end < bytes.len()) {
            return Err(invalid(at, "a digit is expected"));
        }
        Ok(end)
    };
    let mut at = start + usize::from(bytes[start] == b'-');
    at = if bytes.get(at) == Some(&b'0') {
        at + 1
    } else {
        some_digits(at)?
    };
    if bytes.get(at) == Some(&b'.') {
        at = some_digits(at + 1)?;
    }
    if matches!(bytes.get(at), Some(b'e' | b'E')) {
        at += 1;
        at += usize::from(matches!(bytes.get(at), Some(b'+' | b'-')));
        at = some_digits(at)?;
    }
    if at < bytes.len() || is_last {
        Ok(Token::Ends(at))
    } else {
        Ok(Token::Open(start))
    }
}

#[inline]
fn literal(word: &[u8], bytes: &[u8], at: usize) -> Result<Token, Invalid> {
    let there = &bytes[at..bytes.len().min(at + word.len())];
    if there == word {
        Ok(Token::Ends(at + word.len()))
    } else if word.starts_with(there) {
        Ok(Token::Open(at))
    } else {
        Err(invalid(at, "a value is expected"))
    }
}

#[cold]
fn invalid(at: usize, why: &'static str) -> Invalid {
    Invalid { at, why }
}
