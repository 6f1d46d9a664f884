//! Framing between agent and supervisor: `total: u32, json: u32, document[json], blob[total - 4 - json]`, little
//! endian. The blob follows the document as it is, because scripts and environments are bytes, not text.

use std::io;

use serde::Serialize;

use crate::protocol::FRAME_BYTES_MAX;

/// Length of the two numbers at the front.
const HEADER_BYTES: usize = 8;

/// One frame as bytes.
pub(crate) fn encode<T: Serialize>(document: &T, blob: &[u8]) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    encode_into(&mut bytes, document, blob)?;
    Ok(bytes)
}

/// Appends one frame; leaves `out` as it was on error.
pub(crate) fn encode_into<T: Serialize>(out: &mut Vec<u8>, document: &T, blob: &[u8]) -> io::Result<()> {
    let start = out.len();
    out.extend_from_slice(&[0; HEADER_BYTES]);
    if let Err(error) = serde_json::to_writer(&mut *out, document) {
        out.truncate(start);
        return Err(error.into());
    }
    let json = out.len() - start - HEADER_BYTES;
    out.extend_from_slice(blob);
    let total = out.len() - start - 4;
    if total > FRAME_BYTES_MAX {
        out.truncate(start);
        return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("frame of {total} bytes is too long")));
    }
    let (total, json) = (total as u32, json as u32); // both at most FRAME_BYTES_MAX
    if let Some(header) = out.get_mut(start..start + HEADER_BYTES) {
        header[..4].copy_from_slice(&total.to_le_bytes());
        header[4..].copy_from_slice(&json.to_le_bytes());
    }
    Ok(())
}

/// A document and the blob behind it.
pub(crate) type RawFrame = (Vec<u8>, Vec<u8>);

/// Collects bytes and gives frames.
#[derive(Debug, Default)]
pub(crate) struct FrameReader {
    buffer: Vec<u8>,
    read: usize,
}

impl FrameReader {
    /// Adds bytes as they came.
    pub(crate) fn feed(&mut self, bytes: &[u8]) {
        if self.read == self.buffer.len() {
            self.buffer.clear();
            self.read = 0;
            // A script of some megabytes must not keep its room for ever.
            if self.buffer.capacity() > (1 << 20) {
                self.buffer.shrink_to(64 << 10);
            }
        } else if self.read > (64 << 10) {
            self.buffer.drain(..self.read);
            self.read = 0;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// The next complete frame; `None` when more bytes are needed. After an error the connection is of no more use.
    pub(crate) fn next_frame(&mut self) -> io::Result<Option<RawFrame>> {
        let rest = self.buffer.get(self.read..).unwrap_or_default();
        let Some((header, _)) = rest.split_first_chunk::<HEADER_BYTES>() else {
            return Ok(None);
        };
        let [t0, t1, t2, t3, j0, j1, j2, j3] = *header;
        let total = u32::from_le_bytes([t0, t1, t2, t3]) as usize;
        let json = u32::from_le_bytes([j0, j1, j2, j3]) as usize;
        if !(4..=FRAME_BYTES_MAX).contains(&total) || json > total - 4 {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "malformed frame on the supervisor's socket"));
        }
        let Some(body) = rest.get(HEADER_BYTES..4 + total) else {
            return Ok(None);
        };
        let (document, blob) = body.split_at(json);
        let frame = (document.to_vec(), blob.to_vec());
        self.read += 4 + total;
        Ok(Some(frame))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_and_blobs_survive_any_cutting() {
        let mut bytes = encode(&"hello", b"\0raw\xff").unwrap();
        encode_into(&mut bytes, &7, &[]).unwrap();
        for size in [1, 3, 8, 100] {
            let mut reader = FrameReader::default();
            let mut seen = Vec::new();
            for part in bytes.chunks(size) {
                reader.feed(part);
                while let Some(frame) = reader.next_frame().unwrap() {
                    seen.push(frame);
                }
            }
            assert_eq!(seen, [(b"\"hello\"".to_vec(), b"\0raw\xff".to_vec()), (b"7".to_vec(), Vec::new())]);
        }
    }

    #[test]
    fn nonsense_is_an_error() {
        for bytes in [[0u8; 8], [255; 8], [4, 0, 0, 0, 1, 0, 0, 0]] {
            let mut reader = FrameReader::default();
            reader.feed(&bytes);
            assert!(reader.next_frame().is_err(), "{bytes:?}");
        }
    }
}
