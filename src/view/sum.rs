//! Formats a checksum.

use crate::error::shown;
use crate::stage::Hashed;

/// `ALGO  HEX  LABEL`, with a newline; if a reader ended the stream early, `not whole` stands in place of the checksum.
#[must_use]
pub fn line(hashed: &Hashed) -> String {
    let hex = hashed.hex.as_deref().unwrap_or("not whole");
    format!("{}  {hex}  {}\n", hashed.algo, shown(hashed.label.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_stays_on_its_line() {
        let hashed = Hashed {
            algo: "crc32c".into(),
            hex: Some("e3069283".to_owned()),
            label: "a\nb".to_owned(),
            bytes: 9,
        };
        assert_eq!(line(&hashed), "crc32c  e3069283  a\\nb\n");
        let cut = Hashed { hex: None, ..hashed };
        assert_eq!(line(&cut), "crc32c  not whole  a\\nb\n");
    }
}
