//! A batch file: the records of one group commit, written once and never changed.
//!
//! Version 1, all numbers little-endian, every CRC the CRC-32 of IEEE 802.3:
//!
//! ```text
//! header   8 bytes "OHSPOOL\0" · u32 version · u32 records · u32 CRC of those 16 bytes
//! record   u32 length · u32 CRC of the payload · u32 CRC of those 8 bytes · payload
//! record   …as many as the header says, then the end
//! ```
//!
//! A record's length has a CRC apart from its payload's, so that a damaged payload does not hide the records
//! behind it. Behind a damaged *length* nothing is looked for: bytes that look like a record might stand in a
//! provider's body.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use bytes::{Buf, Bytes};

use super::record::{self, RecordError};
use crate::message::Message;

/// The largest record, in bytes: the largest body that a source may allow, and its headers.
pub const MAX_RECORD_BYTES: usize = 16 * 1024 * 1024;
/// The largest file that is read, in bytes; the writer stays far below.
pub const MAX_BATCH_BYTES: u64 = 64 * 1024 * 1024;

const MAGIC: &[u8; 8] = b"OHSPOOL\0";
const VERSION: u32 = 1;
const HEADER_BYTES: usize = 20;
const RECORD_HEAD_BYTES: usize = 12;

/// What a batch file holds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Batch {
    /// Every record that is whole, in the order in which they were received.
    pub messages: Vec<Message>,
    /// What is wrong with the file; empty for a whole one.
    pub damage: Vec<Damage>,
}

/// One thing that is wrong with a batch file. Offsets are in bytes from the file's begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// It was never a batch file, or its begin is damaged.
    #[error("the file's header is damaged")]
    Header,
    /// Written by a newer program; this one does not guess.
    #[error("the file has version {0}, this program reads {VERSION}")]
    Version(u32),
    /// Larger than any batch file.
    #[error("the file has {0} bytes, more than any batch")]
    TooLarge(u64),
    /// The file ends within a record.
    #[error("the file ends within the record at {0}")]
    Truncated(usize),
    /// A record's length is damaged: what follows cannot be read.
    #[error("the length of the record at {0} is damaged")]
    Length(usize),
    /// A record's payload is damaged.
    #[error("the record at {0} is damaged")]
    Record(usize),
    /// A record's payload is as it was written, and yet no message.
    #[error("the record at {0} is no message: {1}")]
    Malformed(usize, RecordError),
    /// Records are missing, or there are too many.
    #[error("the file has {found} records and says that it has {expected}")]
    Count {
        /// What the header says.
        expected: u32,
        /// What is there.
        found: u32,
    },
}

/// A batch file in the making.
#[derive(Debug)]
pub struct BatchBuilder {
    bytes: Vec<u8>,
    records: u32,
}

impl Default for BatchBuilder {
    fn default() -> Self {
        Self { bytes: vec![0; HEADER_BYTES], records: 0 }
    }
}

impl BatchBuilder {
    /// Appends a message.
    ///
    /// # Errors
    /// When it is larger than a record may be; the batch is then as it was before.
    pub fn push(&mut self, message: &Message) -> Result<(), RecordError> {
        let mut payload = Vec::with_capacity(message.body.len() + 1024);
        record::encode(message, &mut payload)?;
        if payload.len() > MAX_RECORD_BYTES {
            return Err(RecordError::TooLarge);
        }
        let length = u32::try_from(payload.len()).map_err(|_too_large| RecordError::TooLarge)?;
        let mut head = Vec::with_capacity(RECORD_HEAD_BYTES);
        head.extend_from_slice(&length.to_le_bytes());
        head.extend_from_slice(&crc32fast::hash(&payload).to_le_bytes());
        let crc = crc32fast::hash(&head);
        self.bytes.extend_from_slice(&head);
        self.bytes.extend_from_slice(&crc.to_le_bytes());
        self.bytes.extend_from_slice(&payload);
        self.records += 1;
        Ok(())
    }

    /// Whether it has no record.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.records == 0
    }

    /// The file's bytes.
    #[must_use]
    pub fn finish(mut self) -> Vec<u8> {
        let mut header = Vec::with_capacity(HEADER_BYTES);
        header.extend_from_slice(MAGIC);
        header.extend_from_slice(&VERSION.to_le_bytes());
        header.extend_from_slice(&self.records.to_le_bytes());
        let crc = crc32fast::hash(&header);
        header.extend_from_slice(&crc.to_le_bytes());
        self.bytes.splice(..HEADER_BYTES, header);
        self.bytes
    }
}

impl Batch {
    /// Reads a file, whole.
    ///
    /// # Errors
    /// When the system cannot read it. Damage is no error: it stands in the batch.
    pub fn read(path: &Path) -> std::io::Result<Self> {
        let file = File::open(path)?;
        let length = file.metadata()?.len();
        if length > MAX_BATCH_BYTES {
            return Ok(Self { messages: Vec::new(), damage: vec![Damage::TooLarge(length)] });
        }
        let mut bytes = Vec::new();
        file.take(MAX_BATCH_BYTES).read_to_end(&mut bytes)?;
        Ok(Self::decode(bytes.into()))
    }

    /// Reads a file's bytes. Never panics, whatever they are; all that is whole is found, up to a damaged length.
    #[must_use]
    pub fn decode(mut bytes: Bytes) -> Self {
        let mut batch = Self::default();
        if bytes.len() < HEADER_BYTES {
            batch.damage.push(Damage::Header);
            return batch;
        }
        let expected = match header(bytes.split_to(HEADER_BYTES)) {
            Ok(records) => Some(records),
            // The records have CRCs of their own.
            Err(Damage::Header) => {
                batch.damage.push(Damage::Header);
                None
            }
            Err(damage) => {
                batch.damage.push(damage);
                return batch;
            }
        };
        let found = batch.records(bytes);
        if let (Some(expected), Some(found)) = (expected, found)
            && expected != found
        {
            batch.damage.push(Damage::Count { expected, found });
        }
        batch
    }

    /// Reads records to the end and counts them; `None` when the end was not reached.
    fn records(&mut self, mut rest: Bytes) -> Option<u32> {
        let (mut offset, mut found) = (HEADER_BYTES, 0);
        while !rest.is_empty() {
            let (length, crc) = match record_head(&mut rest, offset) {
                Ok(head) => head,
                Err(damage) => {
                    self.damage.push(damage);
                    return None;
                }
            };
            let payload = rest.split_to(length);
            if crc32fast::hash(&payload) == crc {
                match record::decode(payload) {
                    Ok(message) => self.messages.push(message),
                    Err(error) => self.damage.push(Damage::Malformed(offset, error)),
                }
            } else {
                self.damage.push(Damage::Record(offset));
            }
            offset += RECORD_HEAD_BYTES + length;
            found += 1;
        }
        Some(found)
    }
}

/// How many records the header announces.
fn header(mut header: Bytes) -> Result<u32, Damage> {
    let crc = crc32fast::hash(&header.slice(..HEADER_BYTES - 4));
    let magic = header.split_to(MAGIC.len());
    let (version, records) = (header.get_u32_le(), header.get_u32_le());
    if header.get_u32_le() != crc || magic != MAGIC.as_slice() {
        return Err(Damage::Header);
    }
    if version == VERSION { Ok(records) } else { Err(Damage::Version(version)) }
}

/// A record's length, which is there, and its payload's CRC.
fn record_head(rest: &mut Bytes, offset: usize) -> Result<(usize, u32), Damage> {
    if rest.len() < RECORD_HEAD_BYTES {
        return Err(Damage::Truncated(offset));
    }
    let mut head = rest.split_to(RECORD_HEAD_BYTES);
    let crc = crc32fast::hash(&head.slice(..RECORD_HEAD_BYTES - 4));
    let (length, payload_crc) = (head.get_u32_le(), head.get_u32_le());
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    if head.get_u32_le() != crc || length > MAX_RECORD_BYTES {
        Err(Damage::Length(offset))
    } else if length > rest.len() {
        Err(Damage::Truncated(offset))
    } else {
        Ok((length, payload_crc))
    }
}
