//! One cell of a record: plain or quoted.
use crate::error::Fault;
use memchr::{memchr, memchr_iter, memchr2};
use std::borrow::Cow;

/// How cells are told apart.
#[derive(Clone, Copy, Debug)]
pub struct Marks {
    pub delimiter: u8,
    /// None: quotes are ordinary characters.
    pub quote: Option<u8>,
}

/// A cell, and where what ends it stands: the delimiter, a line feed, a carriage return before it, or the end of the text.
pub struct Cell<'a> {
    pub text: Cow<'a, [u8]>,
    pub end: usize,
    /// Line feeds within.
    pub feeds: u64,
}

impl Marks {
    /// The cell at `at`. The place of a fault counts lines from the start of the record.
    pub fn cell(self, bytes: &[u8], at: usize) -> Result<Cell<'_>, Fault> {
        if self.quote.is_some() && bytes.get(at).copied() == self.quote { self.quoted(bytes, at) } else { self.plain(bytes, at) }
    }

    fn plain(self, bytes: &[u8], at: usize) -> Result<Cell<'_>, Fault> {
        let rest = &bytes[at..];
        let mut length = memchr2(self.delimiter, b'\n', rest).unwrap_or(rest.len());
        let ends_line = rest.get(length) != Some(&self.delimiter);
        if ends_line && length > 0 && rest[length - 1] == b'\r' {
            length -= 1;
        }
        let text = &rest[..length];
        if let Some(quote) = self.quote.filter(|quote| memchr(*quote, text).is_some()) {
            let quote = char::from(quote);
            return Err(Fault::data(
                0,
                None,
                format!("a cell that does not begin with {quote} holds one: {}. Quote the whole cell, or pass quote: false", shown(text)),
            ));
        }
        Ok(Cell { text: Cow::Borrowed(text), end: at + length, feeds: 0 })
    }

    fn quoted(self, bytes: &[u8], at: usize) -> Result<Cell<'_>, Fault> {
        let quote = bytes[at];
        let mut text = Cow::Borrowed(&bytes[..0]);
        let mut from = at + 1;
        loop {
            let Some(length) = memchr(quote, &bytes[from..]) else {
                return Err(Fault::data(0, None, format!("the quote that opens here is never closed: {}", shown(&bytes[at..]))));
            };
            let piece = &bytes[from..from + length];
            from += length + 1;
            let doubled = bytes.get(from) == Some(&quote);
            match &mut text {
                Cow::Borrowed(whole) if whole.is_empty() && !doubled => text = Cow::Borrowed(piece),
                _ => text.to_mut().extend_from_slice(piece),
            }
            if !doubled {
                break;
            }
            text.to_mut().push(quote);
            from += 1;
        }
        let feeds = memchr_iter(b'\n', &text).count() as u64;
        let follows = &bytes[from..];
        if !(follows.is_empty() || follows[0] == self.delimiter || line_ends(follows)) {
            return Err(Fault::data(feeds, None, format!("text follows the closing quote: {}", shown(&bytes[at..]))));
        }
        Ok(Cell { text, end: from, feeds })
    }
}

/// Whether a line ends here.
#[inline]
pub fn line_ends(bytes: &[u8]) -> bool {
    match bytes.first() {
        None | Some(b'\n') => true,
        Some(b'\r') => matches!(bytes.get(1), None | Some(b'\n')),
        _ => false,
    }
}

/// The start of a text, for a message.
pub fn shown(text: &[u8]) -> String {
    let line = &text[..memchr(b'\n', text).unwrap_or(text.len())];
    let text = String::from_utf8_lossy(line);
    let mut shown: String = text.chars().take(40).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    format!("'{shown}'")
}
