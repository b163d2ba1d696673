//! Text: how wide it will be, where it breaks, and how it may stand in XML.

/// Texts longer than this have no place on a map.
pub(crate) const MAX_CHARS: usize = 60;
/// A label's lines at most.
const MAX_LINES: usize = 3;

/// About how wide a text is, in units, at a font size. No font is known here, so this is for a wide one: in most, the
/// text will be narrower.
pub(crate) fn width(text: &str, size: f64) -> f64 {
    text.chars().map(em).sum::<f64>() * size
}

/// A character's width in font sizes.
fn em(c: char) -> f64 {
    match c {
        'i' | 'j' | 'l' | '\'' | '|' => 0.29,
        ' ' | '.' | ',' | ':' | ';' | '!' | 'I' | '-' | '(' | ')' | '/' => 0.38,
        'f' | 'r' | 't' => 0.41,
        'm' | 'w' | 'M' | 'W' | '@' | '%' => 0.98,
        '\u{300}'..='\u{36f}' => 0.0,
        'A'..='Z' | 'À'..='Þ' | 'Ā'..='\u{17f}' => 0.75,
        '\u{1100}'.. => 1.05,
        '\u{370}'.. => 0.72,
        _ => 0.62,
    }
}

/// A text in at most three lines, each as wide as `room` at most if words allow that; as few lines as may be, and those about
/// equally wide.
pub(crate) fn wrap(text: &str, size: f64, room: f64) -> Vec<String> {
    let whole = width(text, size);
    for lines in [1.0_f64, 2.0, 3.0] {
        let broken = fill(text, size, (whole / lines * 1.15).min(room.max(whole / 3.0)));
        if broken.len() <= MAX_LINES && broken.iter().all(|line| width(line, size) <= room) {
            return broken;
        }
    }
    let loose = fill(text, size, whole / 2.0);
    if loose.len() <= MAX_LINES { loose } else { vec![text.to_owned()] }
}

fn fill(text: &str, size: f64, room: f64) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if width(line, size) + width(" ", size) + width(word, size) <= room => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

/// A name as it can be shown: on one line, without what XML does not allow and without marks that turn the direction of
/// the text around it. None if nothing is left, or too much.
pub(crate) fn shown(name: &str) -> Option<String> {
    let legible = |c: &char| {
        !(c.is_control()
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'))
    };
    let spaced = name.split_whitespace().take(MAX_CHARS).collect::<Vec<_>>().join(" ");
    let text: String = spaced.chars().filter(legible).collect();
    (!text.is_empty() && text.chars().count() <= MAX_CHARS).then_some(text)
}

/// Text as it may stand between tags and in attributes.
pub(crate) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            // Not in XML 1.0, however written.
            '\0'..='\u{8}' | '\u{b}' | '\u{c}' | '\u{e}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => {}
            _ => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_few_and_even() {
        assert_eq!(wrap("Esplanadi", 10.0, 20.0), ["Esplanadi"]);
        assert_eq!(wrap("Museum of Contemporary Art", 10.0, 110.0), ["Museum of", "Contemporary Art"]);
        assert_eq!(wrap("Old Market Hall", 10.0, 200.0), ["Old Market Hall"]);
    }

    #[test]
    fn names_are_made_harmless() {
        assert_eq!(shown(" a\n\tb\u{202e}\u{0} "), Some("a b".to_owned()));
        assert_eq!(shown("\u{1}\u{2066}"), None);
        assert_eq!(shown(&"x".repeat(61)), None);
        assert_eq!(escape("<a href=\"x\">&\u{0}\u{ffff}"), "&lt;a href=&quot;x&quot;&gt;&amp;");
    }
}
