//! The codecs a batch's records may be packed with. Unpacking streams into a buffer that never
//! grows beyond the budget, so a bomb costs the budget and an error.

use std::io::{Read, Write};

use super::BatchError;

/// What snappy-java puts before its blocks: magic, version 1, compatible with version 1.
const XERIAL_HEAD: [u8; 16] = *b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01";
const XERIAL_MAGIC: &[u8] = b"\x82SNAPPY\0";
/// Block size of snappy-java.
const XERIAL_BLOCK_BYTES: usize = 32 << 10;
/// 64 MiB: no window is larger than what a batch may unpack to.
const ZSTD_WINDOW_LOG_MAX: u32 = 26;

/// How a batch's records are packed; numbers as in the batch's attributes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Codec {
    #[default]
    None = 0,
    Gzip = 1,
    Snappy = 2,
    Lz4 = 3,
    Zstd = 4,
}

impl Codec {
    pub(super) fn from_attributes(attributes: i16) -> Result<Self, BatchError> {
        Ok(match attributes & super::ATTRIBUTE_CODEC {
            0 => Self::None,
            1 => Self::Gzip,
            2 => Self::Snappy,
            3 => Self::Lz4,
            4 => Self::Zstd,
            other => return Err(BatchError::Codec(other as u8)),
        })
    }

    /// Kafka's name of the codec, as in `compression.type`.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Snappy => "snappy",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }

    /// The codec of that name; `None` for a name Kafka does not know.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::None, Self::Gzip, Self::Snappy, Self::Lz4, Self::Zstd]
            .into_iter()
            .find(|codec| codec.name() == name)
    }

    pub(crate) fn unpack(self, packed: &[u8], limit: usize) -> Result<Vec<u8>, BatchError> {
        match self {
            Self::None => {
                if packed.len() > limit {
                    return Err(BatchError::Bomb { limit });
                }
                Ok(packed.to_vec())
            }
            Self::Gzip => self.drain(flate2::read::MultiGzDecoder::new(packed), limit),
            Self::Snappy => self.unpack_snappy(packed, limit),
            Self::Lz4 => self.drain(lz4_flex::frame::FrameDecoder::new(packed), limit),
            Self::Zstd => {
                let mut decoder =
                    zstd::stream::read::Decoder::with_buffer(packed).map_err(|e| self.bad(e))?;
                decoder.window_log_max(ZSTD_WINDOW_LOG_MAX).map_err(|e| self.bad(e))?;
                self.drain(decoder, limit)
            }
        }
    }

    fn bad(self, error: impl std::fmt::Display) -> BatchError {
        BatchError::Unpack { codec: self, what: error.to_string() }
    }

    fn drain(self, input: impl Read, limit: usize) -> Result<Vec<u8>, BatchError> {
        let mut out = Vec::new();
        input.take(limit as u64 + 1).read_to_end(&mut out).map_err(|e| self.bad(e))?;
        if out.len() > limit { Err(BatchError::Bomb { limit }) } else { Ok(out) }
    }

    fn unpack_snappy(self, packed: &[u8], limit: usize) -> Result<Vec<u8>, BatchError> {
        let mut out = Vec::new();
        if !packed.starts_with(XERIAL_MAGIC) {
            self.unpack_block(packed, limit, &mut out)?;
            return Ok(out);
        }
        let mut rest =
            packed.get(XERIAL_HEAD.len()..).ok_or_else(|| self.bad("cut short in its head"))?;
        while !rest.is_empty() {
            let (len, after) =
                rest.split_first_chunk::<4>().ok_or_else(|| self.bad("cut short in a length"))?;
            let len = usize::try_from(u32::from_be_bytes(*len)).unwrap_or(usize::MAX);
            let (block, after) =
                after.split_at_checked(len).ok_or_else(|| self.bad("cut short in a block"))?;
            self.unpack_block(block, limit, &mut out)?;
            rest = after;
        }
        Ok(out)
    }

    /// Appends one raw block; its own length field is checked against the budget first.
    fn unpack_block(self, block: &[u8], limit: usize, out: &mut Vec<u8>) -> Result<(), BatchError> {
        let len = snap::raw::decompress_len(block).map_err(|e| self.bad(e))?;
        if len > limit.saturating_sub(out.len()) {
            return Err(BatchError::Bomb { limit });
        }
        let from = out.len();
        out.resize(from + len, 0);
        let room = out.get_mut(from..).unwrap_or_default();
        let written = snap::raw::Decoder::new().decompress(block, room).map_err(|e| self.bad(e))?;
        out.truncate(from + written);
        Ok(())
    }

    /// Packs, or says `None` when the codec fails (it writes into memory: only out of memory).
    pub(crate) fn pack(self, plain: &[u8]) -> Option<Vec<u8>> {
        match self {
            Self::None => Some(plain.to_vec()),
            Self::Gzip => {
                let level = flate2::Compression::default();
                let mut encoder = flate2::write::GzEncoder::new(Vec::new(), level);
                encoder.write_all(plain).ok()?;
                encoder.finish().ok()
            }
            Self::Snappy => {
                let mut out = XERIAL_HEAD.to_vec();
                for block in plain.chunks(XERIAL_BLOCK_BYTES) {
                    let packed = snap::raw::Encoder::new().compress_vec(block).ok()?;
                    out.extend_from_slice(&u32::try_from(packed.len()).ok()?.to_be_bytes());
                    out.extend_from_slice(&packed);
                }
                Some(out)
            }
            Self::Lz4 => {
                let mut encoder = lz4_flex::frame::FrameEncoder::new(Vec::new());
                encoder.write_all(plain).ok()?;
                encoder.finish().ok()
            }
            Self::Zstd => zstd::stream::encode_all(plain, 0).ok(),
        }
    }
}
