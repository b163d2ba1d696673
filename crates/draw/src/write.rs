//! The picture as text.

use crate::area::GROUND;
use crate::label::{Face, Placed, Symbol};
use crate::occupied::Occupied;
use crate::project::{Frame, Point, Rect};
use crate::scene::Item;
use crate::style::{Rgb, Style};
use crate::text::{self, escape};
use std::fmt::Write as _;

const FONTS: &str = "Noto Sans,DejaVu Sans,Helvetica Neue,Arial,sans-serif";
const INK: Rgb = Rgb(0x55_504a);
/// From the edge to what is written on it.
const INSET: f64 = 8.0;

/// Opens the picture.
pub(crate) fn open(out: &mut String, frame: &Frame, faded: bool) {
    let (width, height) = (frame.width, frame.height);
    let ground = Style::area(GROUND);
    let ground = if faded { ground.faded() } else { ground }.fill.unwrap_or(GROUND);
    let _ = writeln!(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" font-family=\"{FONTS}\">\n\
         <rect class=\"ground\" width=\"{width}\" height=\"{height}\" fill=\"{ground}\"/>"
    );
}

pub(crate) fn close(out: &mut String) {
    out.push_str("</svg>\n");
}

/// Writes paths from the bottom to the top; those that follow each other and look alike are a group.
pub(crate) fn items(out: &mut String, items: &[Item]) {
    let alike =
        |a: &Item, b: &Item| a.order.stage == b.order.stage && a.style == b.style && a.faded == b.faded;
    for group in items.chunk_by(alike) {
        let Some(first) = group.first() else { continue };
        let _ = write!(
            out,
            "<g class=\"{}{}\"",
            first.order.stage.name(),
            if first.faded { " faded" } else { "" }
        );
        style(out, &first.style);
        out.push_str(">\n");
        for item in group {
            out.push_str("<path d=\"");
            item.paths.iter().for_each(|path| trace(out, path, item.closed));
            out.push_str("\"/>\n");
        }
        out.push_str("</g>\n");
    }
}

fn style(out: &mut String, style: &Style) {
    match style.fill {
        Some(fill) => {
            let _ = write!(out, " fill=\"{fill}\" fill-rule=\"evenodd\"");
        }
        None => out.push_str(" fill=\"none\""),
    }
    if let Some(stroke) = style.stroke {
        let cap = if style.butt { "butt" } else { "round" };
        let _ = write!(
            out,
            " stroke=\"{stroke}\" stroke-width=\"{}\" stroke-linecap=\"{cap}\" stroke-linejoin=\"round\"",
            Number(style.width)
        );
    }
    if let Some((drawn, left_out)) = style.dash {
        let _ = write!(out, " stroke-dasharray=\"{} {}\"", Number(drawn), Number(left_out));
    }
    if style.opacity < 1.0 {
        let _ = write!(out, " opacity=\"{}\"", Number(style.opacity));
    }
}

/// A length with as few digits as do: a tenth of a unit is less than is seen.
struct Number(f64);

impl std::fmt::Display for Number {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let digits = if self.0.abs() < 10.0 { 2 } else { 1 };
        let text = format!("{:.digits$}", self.0);
        let short = text.trim_end_matches('0').trim_end_matches('.');
        f.write_str(if short == "-0" { "0" } else { short })
    }
}

fn trace(out: &mut String, path: &[Point], closed: bool) {
    for (i, at) in path.iter().enumerate() {
        let lead = if i == 0 { "M" } else { " " };
        let _ = write!(out, "{lead}{:.1} {:.1}", at.x, at.y);
    }
    if closed {
        out.push('Z');
    }
}

/// Writes symbols and names.
pub(crate) fn labels(out: &mut String, labels: &[Placed]) {
    out.push_str("<g class=\"labels\" text-anchor=\"middle\" stroke-linejoin=\"round\">\n");
    for label in labels {
        match label {
            Placed::Disc { at, symbol } => disc(out, *at, symbol),
            Placed::Text { at, angle, lines, face } => {
                // The middle of the letters is about a third of their size above the line that they stand on.
                let top = at.y + face.size * 0.35 - face.line_height() * (count(lines) - 1.0) / 2.0;
                for (line, y) in
                    lines.iter().zip(std::iter::successors(Some(top), |y| Some(y + face.line_height())))
                {
                    let turn = (*angle != 0.0)
                        .then(|| format!(" transform=\"rotate({angle:.1} {:.1} {:.1})\"", at.x, at.y));
                    let _ = writeln!(
                        out,
                        "<text x=\"{:.1}\" y=\"{y:.1}\"{}{}>{}</text>",
                        at.x,
                        turn.unwrap_or_default(),
                        Look(face),
                        escape(line)
                    );
                }
            }
        }
    }
    out.push_str("</g>\n");
}

fn count(lines: &[String]) -> f64 {
    lines.iter().map(|_| 1.0).sum()
}

/// A face as attributes, with a light edge so that it can be read on whatever is below.
struct Look<'a>(&'a Face);

impl std::fmt::Display for Look<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Face { size, colour, bold, italic } = self.0;
        write!(
            f,
            " font-size=\"{}\" fill=\"{colour}\" stroke=\"#fff\" stroke-width=\"{}\" stroke-opacity=\".8\" paint-order=\"stroke\"",
            Number(*size),
            Number(size * 0.25)
        )?;
        f.write_str(if *bold { " font-weight=\"bold\"" } else { "" })?;
        f.write_str(if *italic { " font-style=\"italic\"" } else { "" })
    }
}

fn disc(out: &mut String, at: Point, symbol: &Symbol) {
    let Symbol { radius, colour, glyph } = symbol;
    let _ = write!(
        out,
        "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"{}\" fill=\"{colour}\" stroke=\"#fff\" stroke-width=\".7\"/>",
        at.x,
        at.y,
        Number(*radius)
    );
    if !glyph.is_empty() {
        let _ = write!(
            out,
            "<path transform=\"translate({:.1} {:.1})scale({})\" d=\"{glyph}\" fill=\"none\" stroke=\"#fff\" stroke-width=\".8\"/>",
            at.x,
            at.y,
            Number(radius / 5.0)
        );
    }
    out.push('\n');
}

/// Writes whose data this is and how long things are, in the lower corners, and takes their places.
pub(crate) fn margins(out: &mut String, frame: &Frame, attribution: &str, taken: &mut Occupied) {
    let room = frame.width - 2.0 * INSET;
    if !attribution.is_empty() {
        let size = 11.0_f64.min(room / text::width(attribution, 1.0));
        let (right, bottom) = (frame.width - INSET, frame.height - INSET);
        taken.take(&[Rect {
            left: right - text::width(attribution, size) - 2.0,
            top: bottom - size * 1.2,
            right: right + 2.0,
            bottom: bottom + size * 0.3,
        }]);
        let face = Face::new(size, INK);
        let _ = writeln!(
            out,
            "<text class=\"attribution\" x=\"{right}\" y=\"{bottom}\" text-anchor=\"end\"{}>{}</text>",
            Look(&face),
            escape(attribution)
        );
    }
    // Where a degree of longitude is not as long at the top as at the bottom, no bar is right.
    if frame.degrees_up() < 20.0 {
        scale(out, frame, taken);
    }
}

fn scale(out: &mut String, frame: &Frame, taken: &mut Occupied) {
    let (metres, length) = round_length(frame.width * 0.18, frame.per_metre());
    let label = if metres >= 1000.0 { format!("{} km", metres / 1000.0) } else { format!("{metres} m") };
    let (left, bottom) = (INSET + 2.0, frame.height - INSET);
    let right = left + length;
    let face = Face::new(10.0, INK);
    let wide = length.max(face.width(&label)) + 4.0;
    let place = Rect { left: left - 2.0, top: bottom - 22.0, right: left + wide, bottom: bottom + 2.0 };
    if !taken.take(&[place]) {
        return;
    }
    let (top, edge) = (bottom - 5.0, bottom);
    let bar = format!("M{left:.1} {top:.1}V{edge:.1}H{right:.1}V{top:.1}");
    let _ = writeln!(
        out,
        "<g class=\"scale\"><path d=\"{bar}\" fill=\"none\" stroke=\"#fff\" stroke-width=\"3.5\" stroke-opacity=\".8\"/>\
         <path d=\"{bar}\" fill=\"none\" stroke=\"{INK}\" stroke-width=\"1.3\"/>\
         <text x=\"{left:.1}\" y=\"{:.1}\"{}>{label}</text></g>",
        bottom - 9.0,
        Look(&face)
    );
}

/// The longest of 1, 2, 5, 10, ... metres that has room, and its length in units.
fn round_length(room: f64, per_metre: f64) -> (f64, f64) {
    let most = room / per_metre;
    let power = 10.0_f64.powf(most.log10().floor());
    let metres = [5.0, 2.0, 1.0].into_iter().map(|n| n * power).find(|m| *m <= most).unwrap_or(power);
    // Powers of ten below one are not exact in binary.
    let metres = (metres * 1e3).round() / 1e3;
    (metres, metres * per_metre)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_round() {
        assert_eq!(round_length(100.0, 0.3).0, 200.0);
        assert_eq!(round_length(100.0, 0.000_01).0, 10_000_000.0);
        assert_eq!(round_length(100.0, 150.0).0, 0.5);
        assert_eq!([0.0, -0.001, 2.50, 12.34].map(|n| Number(n).to_string()), ["0", "0", "2.5", "12.3"]);
    }
}
