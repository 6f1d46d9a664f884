//! Just enough Rust to tell code from comments, strings and tests.
//!
//! [`Source`] marks each byte of a file with what it is. Rules then look at [`Source::code`], where
//! everything that is not code is a space, so that a word in a comment or a brace in a string never
//! misleads them and byte offsets stay true. It is an estimate, good enough to count and to search:
//! macros are not expanded, and a brace in a const generic argument would be taken for a body.

use std::ops::Range;

/// What a byte of a file belongs to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    Code,
    Comment,
    /// A string, byte string, C string or character, with its quotes.
    Literal,
}

/// A Rust file with each byte marked.
pub(super) struct Source<'a> {
    text: &'a str,
    kinds: Vec<Kind>,
    code: String,
    line_starts: Vec<usize>,
    tests: Vec<Range<usize>>,
}

/// A function with a body.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Function {
    pub(super) name: String,
    pub(super) line: usize,
    /// From the line with `fn` to the line with the closing brace, both counted.
    pub(super) line_count: usize,
    pub(super) in_test: bool,
}

impl<'a> Source<'a> {
    pub(super) fn parse(text: &'a str) -> Self {
        let kinds = Marker { bytes: text.as_bytes(), kinds: Vec::with_capacity(text.len()) }.mark();
        let code = mask(text, &kinds);
        let line_starts = std::iter::once(0).chain(text.match_indices('\n').map(|(offset, _)| offset + 1)).collect();
        let tests = test_items(&code);
        Source { text, kinds, code, line_starts, tests }
    }

    /// The file with a space in place of each byte that is not code. Newlines stay.
    pub(super) fn code(&self) -> &str {
        &self.code
    }

    pub(super) fn kind_at(&self, offset: usize) -> Kind {
        self.kinds.get(offset).copied().unwrap_or(Kind::Code)
    }

    /// The line of a byte, counted from 1.
    pub(super) fn line_of(&self, offset: usize) -> usize {
        self.line_starts.partition_point(|&start| start <= offset)
    }

    /// The text of a line counted from 1, or nothing when there is no such line.
    pub(super) fn line(&self, line: usize) -> &str {
        self.text.lines().nth(line.wrapping_sub(1)).unwrap_or_default()
    }

    /// Whether a byte lies in an item that only exists under `cfg(test)`.
    pub(super) fn is_test(&self, offset: usize) -> bool {
        self.tests.iter().any(|range| range.contains(&offset))
    }

    /// Lines outside inline test modules, which grow with the care taken and not with the design.
    pub(super) fn line_count_without_tests(&self) -> usize {
        let in_tests: usize =
            self.tests.iter().map(|range| self.line_of(range.end - 1) - self.line_of(range.start) + 1).sum();
        self.text.lines().count() - in_tests
    }

    /// Whether the file says that a program wrote it; such files follow the generator's taste.
    pub(super) fn is_generated(&self) -> bool {
        self.text.lines().next().is_some_and(|line| line.starts_with("//") && line.contains("@generated"))
    }

    /// Every function with a body, in the order of the file; functions in functions included.
    pub(super) fn functions(&self) -> Vec<Function> {
        let mut functions = Vec::new();
        for offset in words(&self.code, "fn") {
            let rest = &self.code[offset + "fn".len()..];
            let name: String = rest.trim_start().chars().take_while(|&c| is_word(c)).collect();
            // `fn(u32) -> u32` is a type and not a definition.
            if name.is_empty() {
                continue;
            }
            let Some(end) = item_end(&self.code, offset).filter(|&end| self.code.as_bytes()[end] == b'}') else {
                continue;
            };
            let line = self.line_of(offset);
            let line_count = self.line_of(end) - line + 1;
            functions.push(Function { name, line, line_count, in_test: self.is_test(offset) });
        }
        functions
    }
}

/// Where `word` stands in `code` as a whole word.
pub(super) fn words<'a>(code: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    code.match_indices(word).map(|(offset, _)| offset).filter(move |&offset| {
        let before = code[..offset].chars().next_back();
        let after = code[offset + word.len()..].chars().next();
        // A pattern that begins or ends with punctuation, such as `todo!(`, has its own border.
        let starts_clean = !word.starts_with(is_word) || !before.is_some_and(is_word);
        let ends_clean = !word.ends_with(is_word) || !after.is_some_and(is_word);
        starts_clean && ends_clean
    })
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn mask(text: &str, kinds: &[Kind]) -> String {
    let masked: Vec<u8> = text
        .bytes()
        .zip(kinds)
        .map(|(byte, &kind)| if kind == Kind::Code || byte == b'\n' { byte } else { b' ' })
        .collect();
    // Code bytes come in whole characters, since comments and literals begin and end with ASCII.
    String::from_utf8(masked).unwrap_or_else(|_| " ".repeat(text.len()))
}

/// The ranges of items under `#[cfg(test)]`, attribute included.
fn test_items(code: &str) -> Vec<Range<usize>> {
    let mut items: Vec<Range<usize>> = Vec::new();
    for (start, attribute) in code.match_indices("#[cfg(test)]") {
        if items.last().is_some_and(|previous| previous.contains(&start)) {
            continue;
        }
        if let Some(end) = item_end(code, start + attribute.len()) {
            items.push(start..end + 1);
        }
    }
    items
}

/// The offset of the `}` or `;` that ends the item beginning at `start`.
///
/// Parentheses and brackets are skipped, so that neither the `;` in `[u8; 4]` nor an attribute's
/// arguments end the item.
fn item_end(code: &str, start: usize) -> Option<usize> {
    let mut nested = 0_usize;
    let mut braces = 0_usize;
    for (offset, byte) in code.bytes().enumerate().skip(start) {
        match byte {
            b'(' | b'[' => nested += 1,
            b')' | b']' => nested = nested.saturating_sub(1),
            b'{' => braces += 1,
            b'}' => {
                braces = braces.saturating_sub(1);
                if braces == 0 && nested == 0 {
                    return Some(offset);
                }
            }
            b';' if braces == 0 && nested == 0 => return Some(offset),
            _ => {}
        }
    }
    None
}

/// The lexer: walks the bytes once and gives each its kind.
struct Marker<'a> {
    bytes: &'a [u8],
    kinds: Vec<Kind>,
}

impl Marker<'_> {
    fn mark(mut self) -> Vec<Kind> {
        while self.kinds.len() < self.bytes.len() {
            let (kind, length) = self.next_token();
            // An unfinished literal at the end of the file must not mark bytes that do not exist.
            let length = length.min(self.bytes.len() - self.kinds.len());
            self.kinds.extend(std::iter::repeat_n(kind, length));
        }
        self.kinds
    }

    fn next_token(&self) -> (Kind, usize) {
        let rest = &self.bytes[self.kinds.len()..];
        match rest {
            [b'/', b'/', ..] => (Kind::Comment, until(rest, b'\n')),
            [b'/', b'*', ..] => (Kind::Comment, block_comment(rest)),
            [b'"', ..] => (Kind::Literal, quoted(rest, b'"')),
            [b'\'', ..] => character(rest).map_or((Kind::Code, 1), |length| (Kind::Literal, length)),
            [first, ..] if is_word_byte(*first) => {
                let word = rest.iter().take_while(|byte| is_word_byte(**byte)).count();
                let is_raw = matches!(&rest[..word], b"r" | b"br" | b"cr");
                match raw_string(&rest[word..]).filter(|_| is_raw) {
                    Some(length) => (Kind::Literal, word + length),
                    None => (Kind::Code, word),
                }
            }
            _ => (Kind::Code, 1),
        }
    }
}

fn is_word_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || !byte.is_ascii()
}

fn until(rest: &[u8], end: u8) -> usize {
    rest.iter().position(|&byte| byte == end).unwrap_or(rest.len())
}

fn block_comment(rest: &[u8]) -> usize {
    let mut depth = 0_usize;
    let mut offset = 0;
    while offset < rest.len() {
        match &rest[offset..] {
            [b'/', b'*', ..] => {
                depth += 1;
                offset += 2;
            }
            [b'*', b'/', ..] => {
                depth -= 1;
                offset += 2;
                if depth == 0 {
                    return offset;
                }
            }
            _ => offset += 1,
        }
    }
    rest.len()
}

/// The length of a literal that ends at the next `quote` without a backslash before it.
fn quoted(rest: &[u8], quote: u8) -> usize {
    let mut offset = 1;
    while offset < rest.len() {
        match rest[offset] {
            b'\\' => offset += 2,
            byte if byte == quote => return offset + 1,
            _ => offset += 1,
        }
    }
    rest.len()
}

/// The length of a character literal, or nothing when the quote begins a lifetime or a label.
fn character(rest: &[u8]) -> Option<usize> {
    match rest {
        [_, b'\\', ..] => Some(quoted(rest, b'\'')),
        [_, first, ..] => {
            let width = match first {
                0..=0x7f => 1,
                0xc0..=0xdf => 2,
                0xe0..=0xef => 3,
                _ => 4,
            };
            (rest.get(1 + width) == Some(&b'\'')).then_some(width + 2)
        }
        _ => None,
    }
}

/// The length of the `#"..."#` part of a raw string.
fn raw_string(rest: &[u8]) -> Option<usize> {
    let hashes = rest.iter().take_while(|&&byte| byte == b'#').count();
    if rest.get(hashes) != Some(&b'"') {
        return None;
    }
    let mut offset = hashes + 1;
    while offset < rest.len() {
        let closes = rest[offset] == b'"'
            && rest[offset + 1..].iter().take(hashes).filter(|&&byte| byte == b'#').count() == hashes;
        if closes {
            return Some(offset + 1 + hashes);
        }
        offset += 1;
    }
    Some(rest.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_code(text: &str, expected: &str) {
        assert_eq!(Source::parse(text).code(), expected);
    }

    #[test]
    fn comments_and_literals_are_blanked() {
        check_code("a // b\nc", "a     \nc");
        check_code("a /* b /* c */ d */ e", "a                   e");
        check_code(r#"f("a\"b{", 'x', '\'', b'{')"#, "f(       ,    ,     , b   )");
        check_code("r#\"a \" {\"# + br\"}\" + r", "           +       + r");
        check_code("let é = \"ü\"; // ö\n", "let é =     ;      \n");
    }

    #[test]
    fn lifetimes_are_code() {
        check_code("fn f<'a>(x: &'a str) { 'outer: loop {} }", "fn f<'a>(x: &'a str) { 'outer: loop {} }");
    }

    #[test]
    fn unfinished_literals_end_with_the_file() {
        check_code("x \"abc\\", "x      ");
        check_code("x /* abc", "x       ");
        check_code("x r#\"abc\"", "x        ");
    }

    #[test]
    fn functions_are_measured_from_fn_to_closing_brace() {
        let text = "\
fn short() {}
trait T { fn declared(&self, x: [u8; 4]); }
type F = fn(u32);
pub async fn long<'a>(
    x: &'a str,
) -> [u8; 2]
where
    F: Fn() -> u8,
{
    let s = \"}\";
}
#[cfg(test)]
mod tests {
    #[test]
    fn tested() {
    }
}
";
        let found: Vec<_> =
            Source::parse(text).functions().into_iter().map(|f| (f.name, f.line, f.line_count, f.in_test)).collect();
        assert_eq!(
            found,
            [("short".to_owned(), 1, 1, false), ("long".to_owned(), 4, 8, false), ("tested".to_owned(), 15, 2, true)]
        );
    }

    #[test]
    fn test_modules_do_not_count() {
        let text = "fn f() {}\n\n#[cfg(test)]\nmod tests {\n    fn g() {}\n}\nfn h() {}\n";
        let source = Source::parse(text);
        assert_eq!(source.line_count_without_tests(), 3);
        assert!(source.is_test(text.find("fn g").unwrap()));
        assert!(!source.is_test(text.find("fn h").unwrap()));
    }

    #[test]
    fn words_have_borders() {
        let found: Vec<_> = words("rand operand rand_core rand::x", "rand").collect();
        assert_eq!(found, [0, 23]);
        assert_eq!(words("my::todo!(x)", "todo!(").count(), 1);
    }
}
