//! Messages of both protocols as bytes: requests that come in any pieces, and answers.

/// Names and values. They are text as a rule, but nobody promises that.
pub(super) type Text = Vec<u8>;

/// Which of the two protocols.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Form {
    /// PMI-1, and the first request of either.
    #[default]
    Lines,
    /// PMI-2.
    Frames,
}

/// What a task asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Request {
    /// Value of `cmd`, or of `mcmd`.
    pub(super) command: Text,
    /// The other pairs as they came.
    pub(super) pairs: Vec<(Text, Text)>,
}

impl Request {
    /// The value of `name`.
    pub(super) fn get(&self, name: &str) -> Option<&[u8]> {
        self.pairs.iter().find(|(known, _)| known == name.as_bytes()).map(|(_, value)| value.as_slice())
    }

    /// The value of `name` as a number.
    pub(super) fn number(&self, name: &str) -> Option<i64> {
        std::str::from_utf8(self.get(name)?).ok()?.parse().ok()
    }

    fn of_pairs(pairs: Vec<(Text, Text)>) -> Option<Request> {
        let mut pairs = pairs.into_iter();
        match pairs.next() {
            Some((name, command)) if name == b"cmd" || name == b"mcmd" => {
                Some(Request { command, pairs: pairs.collect() })
            }
            _ => None,
        }
    }
}

/// Bytes are none of the two protocols, or too long for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("malformed PMI request")]
pub(super) struct Malformed;

/// Longest line. Libraries make lines of up to a kilobyte or two.
const LINE_BYTES_MAX: usize = 64 << 10;

/// Digits of the length of a frame.
const LENGTH_DIGITS: usize = 6;

/// Collects bytes of one task and gives requests.
#[derive(Debug, Default)]
pub(super) struct Reader {
    pub(super) form: Form,
    buffer: Vec<u8>,
}

impl Reader {
    /// Adds bytes as they came.
    pub(super) fn feed(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole request; `None` when more bytes are needed. After an error nothing good can come any more.
    pub(super) fn next(&mut self) -> Result<Option<Request>, Malformed> {
        match self.form {
            Form::Lines => self.next_lines(),
            Form::Frames => self.next_frame(),
        }
    }

    fn next_lines(&mut self) -> Result<Option<Request>, Malformed> {
        let is_many = self.buffer.starts_with(b"mcmd=");
        let end: &[u8] = if is_many { b"\nendcmd\n" } else { b"\n" };
        let Some(at) = self.buffer.windows(end.len()).position(|part| part == end) else {
            return if self.buffer.len() > LINE_BYTES_MAX { Err(Malformed) } else { Ok(None) };
        };
        let line: Vec<u8> = self.buffer.drain(..at + end.len()).take(at).collect();
        // Of an order to spawn each line is one pair, and its value may have blanks.
        let words = line.split(|byte| if is_many { *byte == b'\n' } else { *byte == b' ' });
        let pairs = words.filter(|word| !word.is_empty()).map(pair).collect();
        Request::of_pairs(pairs).ok_or(Malformed).map(Some)
    }

    fn next_frame(&mut self) -> Result<Option<Request>, Malformed> {
        let Some(length) = self.buffer.get(..LENGTH_DIGITS) else {
            return Ok(None);
        };
        let length = std::str::from_utf8(length).ok().and_then(|digits| digits.trim().parse::<usize>().ok());
        let end = LENGTH_DIGITS + length.ok_or(Malformed)?;
        if self.buffer.len() < end {
            return Ok(None);
        }
        let frame: Vec<u8> = self.buffer.drain(..end).skip(LENGTH_DIGITS).collect();
        Request::of_pairs(pairs_of_frame(&frame)).ok_or(Malformed).map(Some)
    }
}

/// What stands before the first `=` and after it.
fn pair(word: &[u8]) -> (Text, Text) {
    let at = word.iter().position(|byte| *byte == b'=').unwrap_or(word.len());
    (word[..at].to_vec(), word.get(at + 1..).unwrap_or_default().to_vec())
}

/// The pairs between single semicolons; two of them are one of a value.
fn pairs_of_frame(frame: &[u8]) -> Vec<(Text, Text)> {
    let mut pairs = Vec::new();
    let mut word: Vec<u8> = Vec::new();
    let mut bytes = frame.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        if byte != b';' {
            word.push(byte);
        } else if bytes.next_if_eq(&b';').is_some() {
            word.push(b';');
        } else if !word.is_empty() {
            pairs.push(pair(&std::mem::take(&mut word)));
        }
    }
    if !word.is_empty() {
        pairs.push(pair(&word));
    }
    pairs
}

/// Makes the bytes of an answer.
pub(super) fn answer<V: AsRef<[u8]>>(form: Form, command: &str, pairs: &[(&str, V)]) -> Vec<u8> {
    let mut text = format!("cmd={command}").into_bytes();
    match form {
        Form::Lines => {
            for (name, value) in pairs {
                text.push(b' ');
                text.extend_from_slice(name.as_bytes());
                text.push(b'=');
                text.extend_from_slice(value.as_ref());
            }
            text.push(b'\n');
            text
        }
        Form::Frames => {
            text.push(b';');
            for (name, value) in pairs {
                text.extend_from_slice(name.as_bytes());
                text.push(b'=');
                for byte in value.as_ref() {
                    let times = if *byte == b';' { 2 } else { 1 };
                    text.extend(std::iter::repeat_n(*byte, times));
                }
                text.push(b';');
            }
            let mut frame = format!("{:<LENGTH_DIGITS$}", text.len()).into_bytes();
            frame.append(&mut text);
            frame
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Requests of `text`, fed in pieces of `size`, as `command[name=value]…`.
    fn read(form: Form, text: &str, size: usize) -> String {
        let mut reader = Reader { form, buffer: Vec::new() };
        let mut seen = Vec::new();
        let lossy = |text: &[u8]| String::from_utf8_lossy(text).into_owned();
        for part in text.as_bytes().chunks(size) {
            reader.feed(part);
            loop {
                match reader.next() {
                    Ok(None) => break,
                    Ok(Some(request)) => {
                        let pairs =
                            request.pairs.iter().map(|(name, value)| format!("[{}={}]", lossy(name), lossy(value)));
                        seen.push(format!("{}{}", lossy(&request.command), pairs.collect::<String>()));
                    }
                    Err(error) => return error.to_string(),
                }
            }
        }
        seen.join(" ")
    }

    #[test]
    fn requests_come_in_any_pieces() {
        let check = |form: Form, text: &str, expected: &str| {
            for size in [1, 3, text.len().max(1)] {
                assert_eq!(read(form, text, size), expected, "{text:?} in pieces of {size}");
            }
        };
        check(Form::Lines, "cmd=init pmi_version=1 pmi_subversion=1\n", "init[pmi_version=1][pmi_subversion=1]");
        check(Form::Lines, "cmd=a\ncmd=put key=k value=x=y\n", "a put[key=k][value=x=y]");
        check(Form::Lines, "mcmd=spawn\nnprocs=1\narg1=a b\nendcmd\ncmd=b\n", "spawn[nprocs=1][arg1=a b] b");
        check(Form::Frames, "14    cmd=job-getid;19    cmd=x;key=a;;b;c=;;", "job-getid x[key=a;b][c=;]");
        check(Form::Frames, "    6 cmd=a;", "a");
        check(Form::Lines, "nonsense\n", "malformed PMI request");
        check(Form::Lines, "\n", "malformed PMI request");
        check(Form::Frames, "abcdefgh", "malformed PMI request");
    }

    #[test]
    fn answers_of_both_forms() {
        let check = |form: Form, expected: &str| {
            let bytes = answer(form, "get_result", &[("rc", "0"), ("value", "a;b")]);
            assert_eq!(String::from_utf8(bytes).unwrap(), expected);
        };
        check(Form::Lines, "cmd=get_result rc=0 value=a;b\n");
        check(Form::Frames, "31    cmd=get_result;rc=0;value=a;;b;");
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..80), frames: bool) {
            let mut reader = Reader { form: if frames { Form::Frames } else { Form::Lines }, buffer: Vec::new() };
            reader.feed(&bytes);
            while let Ok(Some(_)) = reader.next() {}
        }

        #[test]
        fn values_survive(value in "[a-z;=]{0,12}") {
            let bytes = answer(Form::Frames, "x", &[("v", value.as_bytes()), ("w", b"1")]);
            let mut reader = Reader { form: Form::Frames, buffer: Vec::new() };
            reader.feed(&bytes);
            let request = reader.next().unwrap().unwrap();
            proptest::prop_assert_eq!(request.get("v").unwrap(), value.as_bytes());
        }
    }
}
