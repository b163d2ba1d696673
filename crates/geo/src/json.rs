//! Properties as JSON text.

use serde_json::{Map, Value};

/// Objects and arrays within each other; more is refused, so that every JSON parser can take what is written out.
pub(crate) const MAX_DEPTH: usize = 64;

/// The characters of a JSON text, each with whether it belongs to a string.
fn characters(text: &str) -> impl Iterator<Item = (char, bool)> + '_ {
    let (mut inside, mut escaped) = (false, false);
    text.chars().map(move |c| {
        let in_string = inside;
        if c == '"' && !escaped {
            inside = !inside;
        }
        escaped = inside && c == '\\' && !escaped;
        (c, in_string)
    })
}

/// JSON text without the white space between its tokens, and else as it was.
pub(crate) fn minify(text: &str) -> String {
    let kept = characters(text).filter(|(c, in_string)| *in_string || !matches!(c, ' ' | '\t' | '\n' | '\r'));
    kept.map(|(c, _)| c).collect()
}

/// How many objects and arrays are open at the deepest place of a JSON text.
fn depth(text: &str) -> usize {
    let (mut depth, mut deepest) = (0usize, 0);
    for (c, _) in characters(text).filter(|(_, in_string)| !in_string) {
        match c {
            '{' | '[' => depth += 1,
            '}' | ']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest
}

/// True if `text` is what a feature's properties may be: an object or `null`, without white space between tokens, with
/// numbers that fit a double and at most [`MAX_DEPTH`] levels.
pub(crate) fn is_properties(text: &str) -> bool {
    let is_json = || serde_json::from_str::<Option<Map<String, Value>>>(text).is_ok();
    depth(text) <= MAX_DEPTH && is_json() && minify(text) == text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn white_space_in_strings_stays() {
        assert_eq!(minify("{ \"a b\" :\n[1.0 , \"\\\" x\\\\\" ,\t2 ] }"), "{\"a b\":[1.0,\"\\\" x\\\\\",2]}");
    }

    #[test]
    fn properties_are_objects_or_null() {
        let nested =
            |levels: usize| format!("{{\"a\":{}{}}}", "[".repeat(levels - 1), "]".repeat(levels - 1));
        let brackets = format!("{{\"a\":\"{}\"}}", "[".repeat(5_000));
        for good in ["{}", "null", r#"{"a":1.10,"a":2}"#, &nested(MAX_DEPTH), &brackets] {
            assert!(is_properties(good), "{good}");
        }
        for bad in [
            "",
            "[]",
            "1",
            "{",
            "{} ",
            "{ }",
            "{}x",
            r#"{"a":1e999}"#,
            &nested(MAX_DEPTH + 1),
            &nested(9_000),
        ] {
            assert!(!is_properties(bad), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn minified_text_means_the_same(s in ".{0,20}", n in any::<i32>()) {
            let value = serde_json::json!({ "k": [s, n, { "x": null }] });
            let pretty = serde_json::to_string_pretty(&value).unwrap();
            prop_assert_eq!(minify(&pretty), value.to_string());
        }
    }
}
