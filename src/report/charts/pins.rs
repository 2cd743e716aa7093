//! The numbered pins above a plot, whose lines mark moments in it.

use crate::report::chart::{LEFT, RIGHT};
use crate::report::moments::{Kind, Moment};
use crate::report::scale::Axis;
use crate::report::svg::{Anchor, Svg};

/// The least distance between pins.
const GAP: f64 = 19.0;
const RADIUS: f64 = 8.0;

/// The style of a pin of this kind.
fn class(kind: Kind) -> &'static str {
    match kind {
        Kind::Paused | Kind::Drained | Kind::StageEnded | Kind::Silent => "knob",
        Kind::Ended => "good",
        Kind::Failed => "bad",
    }
}

/// Draws the pins at `y` and their lines from there through the plot between `top` and `bottom`.
pub fn draw(svg: &mut Svg, moments: &[Moment], time: Axis, y: f64, (top, bottom): (f64, f64)) {
    for moment in moments {
        let x = time.at(moment.at);
        svg.line("mark", (x, top), (x, bottom));
    }
    for (number, (moment, x)) in moments.iter().zip(places(moments, time)).enumerate() {
        let at = time.at(moment.at);
        svg.line("axis", (x, y + RADIUS), (at, top));
        svg.begin_titled(&moment.text);
        head(svg, moment.kind, number, (x, y));
        svg.end();
    }
}

/// A pin's head with its number; the first one is 1.
pub fn head(svg: &mut Svg, kind: Kind, number: usize, (x, y): (f64, f64)) {
    svg.circle(class(kind), (x, y), RADIUS);
    svg.text("kt", (x, y + 3.5), Anchor::Middle, &(number + 1).to_string());
}

/// The positions of the pins: at their time, or beside earlier ones.
fn places(moments: &[Moment], time: Axis) -> Vec<f64> {
    let mut places: Vec<f64> = Vec::new();
    for moment in moments {
        let after = places.last().map_or(LEFT, |before| before + GAP);
        places.push(time.at(moment.at).max(after));
    }
    let mut limit = RIGHT + RADIUS;
    for place in places.iter_mut().rev() {
        *place = place.min(limit);
        limit = *place - GAP;
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::chart::time_axis;

    #[test]
    fn pins_do_not_overlap() {
        let moment = |at: f64| Moment {
            at,
            kind: Kind::Paused,
            text: String::new(),
        };
        let moments: Vec<Moment> = [0.0, 0.0, 0.1, 5.0, 9.9, 10.0, 10.0].map(moment).to_vec();
        let places = places(&moments, time_axis(10.0));
        assert!(
            places.windows(2).all(|pair| pair[1] - pair[0] >= GAP - 1e-9),
            "{places:?}"
        );
        assert!(places.iter().all(|x| (LEFT..=RIGHT + RADIUS).contains(x)), "{places:?}");
        assert!((places[3] - time_axis(10.0).at(5.0)).abs() < 1e-9);
    }
}
