//! The shape of `scontrol show`: records of `Key=Value` lines, or each record on one line with `-o`.

/// Lines of one record under construction.
pub struct Record {
    one_line: bool,
    text: String,
}

impl Record {
    /// An empty record.
    pub fn new(one_line: bool) -> Record {
        Record { one_line, text: String::new() }
    }

    /// What stands between two lines.
    fn separator(&self) -> &'static str {
        if self.one_line { " " } else { "\n   " }
    }

    /// Adds a line.
    pub fn line(&mut self, line: impl AsRef<str>) {
        if !self.text.is_empty() {
            self.text.push_str(self.separator());
        }
        self.text.push_str(line.as_ref());
    }

    /// Adds a line where there is something to say.
    pub fn optional(&mut self, key: &str, value: Option<&str>) {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            self.line(format!("{key}={value}"));
        }
    }

    /// The record with its end. Jobs have a separator behind their last line, too.
    pub fn finish(mut self, trailing_separator: bool) -> String {
        if trailing_separator {
            self.text.push_str(self.separator());
        }
        self.text.push_str(if self.one_line { "\n" } else { "\n\n" });
        self.text
    }
}
