//! The poster in pixels. Its font is built in, so that it needs none on the machine and looks the same on every one.

use std::sync::Arc;

use resvg::tiny_skia::{Pixmap, Transform};
use resvg::usvg::{Options, Tree, fontdb};

use crate::error::{Failure, Kind};

/// The resolution: pixels for each of the poster's, so that small letters are sharp.
const SCALE: f32 = 2.0;
/// The tallest picture: larger ones do not fit in the memory of common viewers.
const TALLEST: f32 = 30_000.0;

/// A PNG file.
///
/// # Errors
/// If it would be too tall.
pub fn pixels(svg: &str) -> Result<Vec<u8>, Failure> {
    let failed = |why: String| Failure::because(Kind::Other, "cannot draw a PNG", why);
    let mut fonts = fontdb::Database::new();
    fonts.load_font_data(dejavu::sans::regular().to_vec());
    fonts.load_font_data(dejavu::sans::bold().to_vec());
    fonts.set_sans_serif_family("DejaVu Sans");
    let options = Options {
        fontdb: Arc::new(fonts),
        font_family: "DejaVu Sans".to_owned(),
        ..Options::default()
    };
    let tree = Tree::from_str(svg, &options).map_err(|error| failed(error.to_string()))?;
    let size = tree.size().to_int_size().scale_by(SCALE);
    let size = size.filter(|size| f64::from(size.height()) <= f64::from(TALLEST));
    let too_tall = || failed("it would be too tall; name fewer recordings, or write .html or .svg".to_owned());
    let size = size.ok_or_else(too_tall)?;
    let mut pixels = Pixmap::new(size.width(), size.height()).ok_or_else(too_tall)?;
    resvg::render(&tree, Transform::from_scale(SCALE, SCALE), &mut pixels.as_mut());
    pixels.encode_png().map_err(|error| failed(error.to_string()))
}
