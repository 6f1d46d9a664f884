//! Properties that take one of a few words.

/// Declares an enum of fixed words that reads and serialises as those words, and answers others with the list.
macro_rules! words {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize)]
        pub enum $name { $($(#[$doc])* #[serde(rename = $word)] $variant),+ }

        impl $name {
            /// The word.
            pub const fn as_str(self) -> &'static str {
                match self { $($name::$variant => $word),+ }
            }

            /// The value of a word; `None` for any other.
            pub fn from_word(word: &str) -> Option<Self> {
                match word { $($word => Some($name::$variant),)+ _ => None }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl $crate::document::Read for $name {
            fn read(
                node: &$crate::document::Node,
                path: &$crate::document::Path<'_>,
            ) -> Result<Self, $crate::document::Problems> {
                let words = [$($word),+].join(", ");
                let text = node.scalar_text().ok_or_else(|| node.unexpected(path, &format!("one of {words}")))?;
                Self::from_word(&text).ok_or_else(|| node.problem(path, format!("{text:?} is none of {words}")))
            }
        }
    };
}

pub(crate) use words;
