//! Texts that are compressed apart, when each is made, and sent together as one gzip member.
//!
//! RFC 1952 lets a gzip file hold several members, and browsers, curl and wget read only the first.
//! Deflate's blocks, in contrast, may come from anywhere, as long as each text ends on a whole byte
//! and refers to nothing before itself.

use std::io::{Read, Write};

use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;
use flate2::{Compression, Crc};
use hyper::body::Bytes;

/// Magic number, deflate, no flags, no time, fastest compression, made on Unix; RFC 1952, 2.3.
const HEAD: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 4, 3];
/// A last block without content.
const LAST_BLOCK: [u8; 2] = [3, 0];

/// One text as deflate's blocks, of which none is the last, and its checksum.
#[derive(Debug)]
pub(super) struct Deflated {
    blocks: Bytes,
    crc: Crc,
}

impl Deflated {
    /// Compresses a text by itself.
    pub(super) fn new(text: &[u8]) -> Self {
        let memory = Vec::with_capacity(text.len() / 8 + 64);
        let mut encoder = DeflateEncoder::new(memory, Compression::fast());
        encoder.write_all(text).expect("memory can be written to");
        // Ends on a whole byte; `finish` would end the stream.
        encoder.flush().expect("memory can be written to");
        let mut blocks = std::mem::take(encoder.get_mut());
        blocks.shrink_to_fit();
        let mut crc = Crc::new();
        crc.update(text);
        Self { blocks: blocks.into(), crc }
    }

    /// The text again, whose length is given.
    pub(super) fn plain(&self, length: usize) -> Bytes {
        let mut text = Vec::with_capacity(length);
        DeflateDecoder::new(self.blocks.chain(&LAST_BLOCK[..]))
            .read_to_end(&mut text)
            .expect("it was compressed here");
        text.into()
    }
}

/// The parts of one gzip member that reads as all these texts, one after another. What was
/// compressed is shared, not copied.
pub(super) fn member<'a>(texts: impl IntoIterator<Item = &'a Deflated>) -> Vec<Bytes> {
    let (mut parts, mut crc) = (vec![Bytes::from_static(&HEAD)], Crc::new());
    for text in texts {
        parts.push(text.blocks.clone());
        crc.combine(&text.crc);
    }
    parts.push(
        [&LAST_BLOCK[..], &crc.sum().to_le_bytes(), &crc.amount().to_le_bytes()].concat().into(),
    );
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::bufread::GzDecoder;
    use proptest::prelude::*;

    /// The text that a decoder of one member reads, and the number of bytes that it leaves.
    fn read(gzip: &[u8]) -> (Vec<u8>, usize) {
        let (mut text, mut decoder) = (Vec::new(), GzDecoder::new(gzip));
        decoder.read_to_end(&mut text).unwrap();
        (text, decoder.into_inner().len())
    }

    proptest! {
        #[test]
        fn any_texts_are_one_member(texts: Vec<Vec<u8>>) {
            let deflated: Vec<_> = texts.iter().map(|text| Deflated::new(text)).collect();
            for (deflated, text) in deflated.iter().zip(&texts) {
                prop_assert_eq!(&deflated.plain(text.len())[..], &text[..]);
            }
            prop_assert_eq!(read(&member(&deflated).concat()), (texts.concat(), 0));
        }
    }

    #[test]
    fn a_text_is_read_without_what_stood_before_it() {
        let texts = ["# HELP a b\na 1\n".repeat(5000), "# HELP a b\na 1\n".repeat(7000)];
        let deflated = texts.each_ref().map(|text| Deflated::new(text.as_bytes()));
        assert_eq!(deflated[1].plain(texts[1].len()), texts[1]);
        assert_eq!(read(&member(&deflated).concat()), (texts.concat().into_bytes(), 0));
    }
}
