//! SPDX licence expressions, as far as Cargo manifests use them.
//!
//! `OR` binds less than `AND`, `WITH` belongs to the licence before it, and the `/` of old manifests
//! means `OR`. A licence with a `+`, "or any later version", may be taken at the version named, so
//! it is asked about without the `+`.

use anyhow::{Result, bail, ensure};

/// Whether a licence expression can be satisfied with licences that `is_allowed` accepts. A licence
/// with an exception is asked about as one: `Apache-2.0 WITH LLVM-exception`.
pub(super) fn permits(expression: &str, is_allowed: impl Fn(&str) -> bool) -> Result<bool> {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut parser = Parser { words: &words, is_allowed: &is_allowed };
    let answer = parser.any()?;
    if let Some(word) = parser.words.first() {
        bail!("{word:?} was not expected");
    }
    Ok(answer)
}

struct Parser<'a> {
    words: &'a [&'a str],
    is_allowed: &'a dyn Fn(&str) -> bool,
}

impl<'a> Parser<'a> {
    fn any(&mut self) -> Result<bool> {
        let mut answer = self.all()?;
        while self.eat("OR") {
            answer |= self.all()?;
        }
        Ok(answer)
    }

    fn all(&mut self) -> Result<bool> {
        let mut answer = self.one()?;
        while self.eat("AND") {
            answer &= self.one()?;
        }
        Ok(answer)
    }

    fn one(&mut self) -> Result<bool> {
        if self.eat("(") {
            let answer = self.any()?;
            ensure!(self.eat(")"), "a closing parenthesis is missing");
            return Ok(answer);
        }
        let name = self.name()?;
        if !self.eat("WITH") {
            return Ok((self.is_allowed)(name));
        }
        let exception = self.name()?;
        Ok((self.is_allowed)(&format!("{name} WITH {exception}")))
    }

    fn name(&mut self) -> Result<&'a str> {
        match self.words {
            [] => bail!("a licence is missing at the end"),
            [word @ ("AND" | "OR" | "WITH" | "(" | ")"), ..] => {
                bail!("{word:?} stands where a licence should")
            }
            [name, rest @ ..] => {
                self.words = rest;
                Ok(name.strip_suffix('+').unwrap_or(name))
            }
        }
    }

    fn eat(&mut self, word: &str) -> bool {
        match self.words {
            [first, rest @ ..] if *first == word => {
                self.words = rest;
                true
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(expression: &str, expected: bool) {
        let allowed = ["MIT", "Apache-2.0", "Unicode-3.0", "Apache-2.0 WITH LLVM-exception"];
        assert_eq!(permits(expression, |id| allowed.contains(&id)).unwrap(), expected, "{expression}");
    }

    #[test]
    fn expressions_are_weighed() {
        check("MIT", true);
        check("GPL-3.0", false);
        check("MIT OR GPL-3.0", true);
        check("GPL-3.0/MIT", true);
        check("Apache-2.0+", true);
        check("MIT AND GPL-3.0", false);
        check("(MIT OR GPL-3.0) AND Unicode-3.0", true);
        check("GPL-3.0 OR MIT AND Unicode-3.0", true);
        check("Apache-2.0 WITH LLVM-exception", true);
        check("MIT WITH LLVM-exception", false);
    }

    #[test]
    fn nonsense_is_refused() {
        for expression in ["", "MIT OR", "OR MIT", "(MIT", "MIT)", "MIT Apache-2.0", "MIT WITH"] {
            assert!(permits(expression, |_| true).is_err(), "{expression:?} was taken");
        }
    }
}
