//! Properties as JSON text.

use serde_json::{Map, Value};

/// JSON text without the white space between its tokens. Changes nothing else, also in a text that is not JSON.
pub(crate) fn minify(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let (mut inside, mut escaped) = (false, false);
    for c in text.chars() {
        if !inside && matches!(c, ' ' | '\t' | '\n' | '\r') {
            continue;
        }
        match c {
            '"' if !escaped => inside = !inside,
            _ => {}
        }
        escaped = inside && c == '\\' && !escaped;
        out.push(c);
    }
    out
}

/// True if `text` is what a feature's properties may be: an object or `null`, without white space between tokens, of
/// numbers and nesting that serde_json takes (nesting of 127).
pub(crate) fn is_properties(text: &str) -> bool {
    serde_json::from_str::<Option<Map<String, Value>>>(text).is_ok() && minify(text) == text
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
        for good in ["{}", "null", r#"{"a":1.10,"a":2}"#] {
            assert!(is_properties(good), "{good}");
        }
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(5_000), "]".repeat(5_000));
        for bad in ["", "[]", "1", "{", "{} ", "{ }", "{}x", r#"{"a":1e999}"#, deep.as_str()] {
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
