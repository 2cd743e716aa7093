//! The formats of a report.

use std::path::Path;

use crate::error::shown;

/// The format of a report, chosen by the file's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// A page for a browser, with everything in it.
    Html,
    /// One picture that can be scaled.
    Svg,
    /// The same in pixels.
    #[cfg(feature = "png")]
    Png,
}

impl Format {
    /// The format for a file name.
    ///
    /// # Errors
    /// If the name has no known extension, or this program was built without that format.
    pub fn of(path: &Path) -> Result<Self, String> {
        let extension = path
            .extension()
            .map(|extension| extension.to_string_lossy().to_ascii_lowercase());
        match extension.as_deref() {
            Some("html" | "htm") => Ok(Self::Html),
            Some("svg") => Ok(Self::Svg),
            #[cfg(feature = "png")]
            Some("png") => Ok(Self::Png),
            #[cfg(not(feature = "png"))]
            Some("png") => Err(
                "this highwater was built without PNG, which takes a renderer and its fonts; write .svg or .html, \
                 or build it with `cargo install --path . --features png`"
                    .to_owned(),
            ),
            Some(other) => Err(format!(
                "reports cannot be written as .{}; the name ends in .html, .svg or .png",
                shown(other.as_bytes())
            )),
            None => Err("its name does not say what to write; it ends in .html, .svg or .png".to_owned()),
        }
    }
}
