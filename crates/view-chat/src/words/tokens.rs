//! The words of a text, and what is searched for.

use std::borrow::Cow;
use std::collections::BTreeSet;
use unicode_segmentation::UnicodeSegmentation;

/// Bytes of a word; longer ones are not found.
const MAX_WORD: usize = 64;

/// The words of a text (Unicode's rules, UAX 29), without case.
pub fn words(text: &str) -> impl Iterator<Item = Cow<'_, str>> {
    text.unicode_words().filter_map(|word| {
        let plain = word.bytes().all(|b| b.is_ascii() && !b.is_ascii_uppercase());
        let word = if plain { Cow::Borrowed(word) } else { Cow::Owned(word.to_lowercase()) };
        (word.len() <= MAX_WORD).then_some(word)
    })
}

/// A word, or the beginning of one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Term {
    pub word: String,
    pub prefix: bool,
}

impl Term {
    pub fn fits(&self, word: &str) -> bool {
        if self.prefix { word.starts_with(&self.word) } else { word == self.word }
    }
}

/// Words that a message must have, all of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Terms(Vec<Term>);

impl Terms {
    /// Of a text as people write it: `word*` stands for all words that begin so. Case does not matter.
    pub fn parse(query: &str) -> Terms {
        let mut terms = BTreeSet::new();
        for part in query.split_whitespace() {
            let mut words = words(part).peekable();
            while let Some(word) = words.next() {
                let prefix = words.peek().is_none() && part.ends_with('*');
                terms.insert(Term { word: word.into_owned(), prefix });
            }
        }
        Terms(terms.into_iter().collect())
    }

    /// True if there is no word in it: it finds nothing.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Term> {
        self.0.iter()
    }

    /// True if a text has all of them.
    pub fn found_in(&self, text: &str) -> bool {
        let mut missing: Vec<&Term> = self.0.iter().collect();
        if missing.is_empty() {
            return false;
        }
        for word in words(text) {
            missing.retain(|term| !term.fits(&word));
            if missing.is_empty() {
                return true;
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_those_of_unicode_without_case() {
        fn all(text: &str) -> Vec<String> {
            words(text).map(Cow::into_owned).collect()
        }
        assert_eq!(all("Hello, WORLD! it's 3.14 e-mail"), ["hello", "world", "it's", "3.14", "e", "mail"]);
        assert_eq!(all("Größe ΣΊΣΥΦΟΣ naïve"), ["größe", "σίσυφος", "naïve"]);
        assert_eq!(all("日本"), ["日", "本"]);
        assert_eq!(all(&format!("{} {}", "x".repeat(64), "y".repeat(65))), ["x".repeat(64)]);
        assert!(all("… — !?").is_empty());
    }

    #[test]
    fn all_terms_must_be_there() {
        let found = |query, text| Terms::parse(query).found_in(text);
        assert!(found("tea HOT", "Hot, hot tea"));
        assert!(!found("tea cold", "hot tea"));
        assert!(found("te* ho*", "hot tea") && !found("te", "hot tea"));
        assert!(found("e-ma*", "an e-mail") && !found("e*-mail", "mail else"));
        assert!(!found("", "hot tea") && !found("*", "hot tea"));
    }
}
