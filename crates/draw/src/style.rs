//! Colours, strokes, and what lies above what.

use std::cmp::Reverse;
use std::fmt;

/// A colour, 0xRRGGBB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rgb(pub(crate) u32);

impl Rgb {
    /// `#rgb` or `#rrggbb`; nothing else, for what is read here is written into the picture.
    pub(crate) fn parse(text: &str) -> Option<Rgb> {
        let hex = text.strip_prefix('#')?;
        let digits: Option<Vec<u32>> = hex.chars().map(|c| c.to_digit(16)).collect();
        let joined = |digits: &[u32]| digits.iter().fold(0, |sum, digit| sum << 4 | digit);
        match digits?.as_slice() {
            &[r, g, b] => Some(Rgb(joined(&[r, r, g, g, b, b]))),
            six @ [_, _, _, _, _, _] => Some(Rgb(joined(six))),
            _ => None,
        }
    }

    /// What is left of it in a part of the map that is there for orientation only: light grey.
    fn faded(self) -> Rgb {
        let [_, r, g, b] = self.0.to_be_bytes().map(u32::from);
        let grey = (2 * r + 5 * g + b) / 8;
        let light = (grey * 2 + 243 * 3) / 5;
        Rgb(light << 16 | light << 8 | light)
    }
}

impl fmt::Display for Rgb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{:06x}", self.0)
    }
}

/// How a path is painted. Lengths in units.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Style {
    pub(crate) fill: Option<Rgb>,
    pub(crate) stroke: Option<Rgb>,
    pub(crate) width: f64,
    /// Drawn and left out, by turns.
    pub(crate) dash: Option<(f64, f64)>,
    pub(crate) opacity: f64,
    /// Lines end where they end, without a round cap.
    pub(crate) butt: bool,
}

impl Style {
    pub(crate) const fn area(fill: Rgb) -> Style {
        Style { fill: Some(fill), stroke: None, width: 0.0, dash: None, opacity: 1.0, butt: false }
    }

    pub(crate) const fn line(stroke: Rgb, width: f64) -> Style {
        Style { fill: None, stroke: Some(stroke), width, dash: None, opacity: 1.0, butt: false }
    }

    pub(crate) const fn edged(self, stroke: Rgb, width: f64) -> Style {
        Style { stroke: Some(stroke), width, ..self }
    }

    pub(crate) const fn dashed(self, drawn: f64, left_out: f64) -> Style {
        Style { dash: Some((drawn, left_out)), butt: true, ..self }
    }

    pub(crate) const fn opacity(self, opacity: f64) -> Style {
        Style { opacity, ..self }
    }

    pub(crate) const fn butt(self) -> Style {
        Style { butt: true, ..self }
    }

    pub(crate) fn faded(self) -> Style {
        Style { fill: self.fill.map(Rgb::faded), stroke: self.stroke.map(Rgb::faded), ..self }
    }
}

/// From the bottom to the top.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    Sea,
    Land,
    Green,
    Water,
    Stream,
    Paved,
    Tunnel,
    Building,
    Barrier,
    Road,
    Tree,
    Boundary,
    Free,
}

impl Stage {
    /// The class of its groups, for whoever restyles a picture.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Stage::Sea => "sea",
            Stage::Land => "land",
            Stage::Green => "green",
            Stage::Water => "water",
            Stage::Stream => "stream",
            Stage::Paved => "paved",
            Stage::Tunnel => "tunnel",
            Stage::Building => "building",
            Stage::Barrier => "barrier",
            Stage::Road => "road",
            Stage::Tree => "tree",
            Stage::Boundary => "boundary",
            Stage::Free => "free",
        }
    }
}

/// What is drawn before what: the lesser is below.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Order {
    pub(crate) stage: Stage,
    /// Bridges cross above what is on the ground.
    pub(crate) level: i8,
    /// All casings of a level lie below all fillings.
    pass: u8,
    /// The more important road is above.
    rank: u8,
    /// The smaller area lies on the larger one: the bits of its size, which sort as the size does.
    size: Reverse<u64>,
}

impl Order {
    pub(crate) fn new(stage: Stage) -> Order {
        Order { stage, level: 0, pass: 0, rank: 0, size: Reverse(0) }
    }

    pub(crate) fn level(self, level: i8) -> Order {
        Order { level, ..self }
    }

    pub(crate) fn pass(self, pass: u8) -> Order {
        Order { pass, ..self }
    }

    pub(crate) fn rank(self, rank: u8) -> Order {
        Order { rank, ..self }
    }

    /// `size` is not negative.
    pub(crate) fn sized(self, size: f64) -> Order {
        Order { size: Reverse(size.abs().to_bits()), ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_hexadecimal_colours_are_read() {
        assert_eq!(Rgb::parse("#1af").map(|c| c.to_string()).as_deref(), Some("#11aaff"));
        assert_eq!(Rgb::parse("#102030"), Some(Rgb(0x10_20_30)));
        for bad in ["", "#", "red", "#12", "#12345", "#1234567", "#12345\"", "url(#x)", "#+1234"] {
            assert_eq!(Rgb::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn the_larger_area_lies_below() {
        let order = |size| Order::new(Stage::Green).sized(size);
        assert!(order(200.0) < order(3.5) && order(3.5) < order(0.25));
        assert!(Order::new(Stage::Water) > order(0.1));
    }
}
