//! JSON in place: RFC 8259 on slices, without a tree of values.
//!
//! [`Scanner`] checks a value that may come in pieces. All else reads values that were checked, and neither panics nor
//! allocates on others. Of members with the same name the last one counts, as in most other readers.

mod number;
mod object;
mod path;
mod scanner;
mod text;

pub use number::{compare_numbers, is_number};
pub use object::{Member, Members, Strings, content};
pub use path::{Path, PathError};
pub use scanner::{Invalid, Scanner};
pub use text::{decode, decode_anew, encode, encode_content, is_plain, name_is};
