//! The whole chain as lines of JSON, with all that another program needs to check it, and nothing that follows from it.
//!
//! One object a line, each with one key that says what it is, in this order:
//!
//! * `chain`, once: the format's version and the chain's parameters;
//! * `header`, many: Bitcoin headers, each after its parent. Those up to the chain's first Bitcoin block come first;
//! * `block`, many: the share blocks of the active branch, lowest first, with the shares that they list;
//! * `end`, once: counts and the tip. Without it an export is not whole.
//!
//! [`Piece`] is the same in the types that the chain works with, so that a check without a file need not go through text.

use super::form::{BlockForm, FormError, ParamsForm, ParamsFormError, Text};
use super::source::{ChainSource, ReadError, ask};
use bitcoin::block::Header;
use bitcoin::consensus::encode::{deserialize_hex, serialize_hex};
use serde::{Deserialize, Serialize};
use sharechain::params::{ChainId, ChainParams};
use sharechain::share::{ShareBlock, ShareId};
use sharechain::units::{BitcoinHeight, Height};
use std::sync::Arc;
use thiserror::Error;

/// The version of the format that this program writes and reads.
pub const FORMAT: u32 = 1;
/// Blocks in one question, so that a running node is not held up.
const BLOCKS_AT_ONCE: usize = 8;

/// A line of an export.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Line {
    /// The first line.
    Chain(ChainLine),
    /// A Bitcoin header.
    Header(HeaderLine),
    /// A share block.
    Block(Box<BlockForm>),
    /// The last line.
    End(EndLine),
}

/// Which chain follows, and how it is written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChainLine {
    /// [`FORMAT`].
    pub format: u32,
    /// The chain's parameters.
    pub params: ParamsForm,
}

/// A Bitcoin header.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeaderLine {
    /// Its height.
    pub height: u32,
    /// Its 80 bytes.
    pub hex: String,
}

/// What came before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EndLine {
    /// Number of share blocks.
    pub blocks: u64,
    /// Number of shares, those that are blocks included.
    pub shares: u64,
    /// Id of the last block, or the chain id.
    pub tip: Text<ShareId>,
}

/// A part of an export: one line or some of a kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// The first.
    Chain(Box<ChainParams>),
    /// Bitcoin headers.
    Headers(Vec<(BitcoinHeight, Header)>),
    /// Share blocks.
    Blocks(Vec<ShareBlock>),
    /// The last.
    End(EndLine),
}

/// A line that is none of an export that this program reads.
#[derive(Debug, Error)]
pub enum BadLine {
    /// No JSON, or of another form.
    #[error("it is no line of an export: {0}")]
    Json(#[from] serde_json::Error),
    /// Another version's.
    #[error("it is in format {0}, this program reads format {FORMAT}")]
    Format(u32),
    /// Parameters that make no chain, or not this one.
    #[error(transparent)]
    Params(#[from] ParamsFormError),
    /// A block that is none.
    #[error(transparent)]
    Block(#[from] FormError),
    /// Not 80 bytes in hexadecimal.
    #[error("it holds no Bitcoin header of 80 bytes")]
    Header,
    /// A block before the line that says of which chain.
    #[error("the line with the chain's parameters must come first")]
    NoChain,
}

impl Piece {
    /// The lines of this piece, without line ends.
    pub fn lines(&self, chain: ChainId) -> Vec<String> {
        match self {
            Self::Chain(params) => {
                vec![text(&Line::Chain(ChainLine { format: FORMAT, params: ParamsForm::new(params) }))]
            }
            Self::Headers(headers) => {
                let line = |(height, header): &(BitcoinHeight, Header)| {
                    text(&Line::Header(HeaderLine { height: height.0, hex: serialize_hex(header) }))
                };
                headers.iter().map(line).collect()
            }
            Self::Blocks(blocks) => {
                let line = |block| text(&Line::Block(Box::new(BlockForm::new(block, chain))));
                blocks.iter().map(line).collect()
            }
            Self::End(end) => vec![text(&Line::End(*end))],
        }
    }

    /// Reads a line; `chain` is the one that an earlier line named.
    pub fn from_line(line: &[u8], chain: Option<ChainId>) -> Result<Self, BadLine> {
        Ok(match serde_json::from_slice(line)? {
            Line::Chain(ChainLine { format, .. }) if format != FORMAT => return Err(BadLine::Format(format)),
            Line::Chain(ChainLine { params, .. }) => Self::Chain(Box::new(params.to_params()?)),
            Line::Header(HeaderLine { height, hex }) => {
                let header = deserialize_hex(&hex).map_err(|_| BadLine::Header)?;
                Self::Headers(vec![(BitcoinHeight(height), header)])
            }
            Line::Block(block) => Self::Blocks(vec![block.to_block(chain.ok_or(BadLine::NoChain)?)?]),
            Line::End(end) => Self::End(end),
        })
    }
}

fn text(line: &Line) -> String {
    serde_json::to_string(line).expect("a line holds nothing that JSON cannot say")
}

/// Gives an export's pieces one after the other.
pub struct Exporter {
    source: Arc<dyn ChainSource>,
    chain: ChainId,
    head: std::vec::IntoIter<Piece>,
    blocks: std::vec::IntoIter<(Height, ShareId)>,
    end: Option<EndLine>,
}

impl Exporter {
    /// An export of the active branch as it stands now.
    pub async fn start(source: Arc<dyn ChainSource>) -> Result<Self, ReadError> {
        let (params, headers, blocks) = ask(source.as_ref(), |reader| {
            let chain = &reader.chain;
            let first = chain.params().first_bitcoin_block.0.0;
            let ancestors: Vec<Header> = chain.headers().ancestors().copied().collect();
            let lowest = (first + 1).saturating_sub(u32::try_from(ancestors.len()).unwrap_or(u32::MAX));
            let later = chain.headers().iter().map(|(height, header)| (height, *header));
            let headers: Vec<_> = (lowest..).map(BitcoinHeight).zip(ancestors).chain(later).collect();
            let active = (1..=chain.height().0).filter_map(|height| chain.block_at(Height(height)));
            let blocks: Vec<_> = active.map(|block| (block.height, block.id)).collect();
            Ok((chain.params().clone(), headers, blocks))
        })
        .await?;
        let chain = params.chain_id();
        let tip = blocks.last().map_or(chain.as_block(), |(_, id)| *id);
        Ok(Self {
            source,
            chain,
            head: vec![Piece::Chain(Box::new(params)), Piece::Headers(headers)].into_iter(),
            blocks: blocks.into_iter(),
            end: Some(EndLine { blocks: 0, shares: 0, tip: Text(tip) }),
        })
    }

    /// Share blocks that are still to come.
    pub fn blocks_left(&self) -> usize {
        self.blocks.len()
    }

    /// The next piece; none when all have been given.
    pub async fn next(&mut self) -> Result<Option<Piece>, ReadError> {
        if let Some(piece) = self.head.next() {
            return Ok(Some(piece));
        }
        let wanted: Vec<_> = self.blocks.by_ref().take(BLOCKS_AT_ONCE).collect();
        if wanted.is_empty() {
            return Ok(self.end.take().map(Piece::End));
        }
        let bodies: Vec<ShareBlock> = ask(self.source.as_ref(), move |reader| {
            let body = |(_, id): &(Height, ShareId)| reader.block(id)?.ok_or(ReadError::Gone(*id));
            wanted.iter().map(body).collect()
        })
        .await?;
        if let Some(end) = &mut self.end {
            end.blocks += bodies.len() as u64;
            end.shares += bodies.iter().map(|body| 1 + body.listed.len() as u64).sum::<u64>();
        }
        Ok(Some(Piece::Blocks(bodies)))
    }

    /// The next lines, each ended; none when all have been given.
    pub async fn next_text(&mut self) -> Result<Option<String>, ReadError> {
        let Some(piece) = self.next().await? else { return Ok(None) };
        let chain = self.chain;
        // Some hundred shares are hashed and written here, which would hold up other tasks.
        let lines = tokio::task::spawn_blocking(move || piece.lines(chain).join("\n") + "\n");
        lines.await.map(Some).map_err(|_| ReadError::Stopping)
    }
}
