//! The whole chain as lines of JSON, with all that another program needs to check it, and nothing that follows from it.
//!
//! One object a line, each with one key that says what it is, in this order:
//!
//! * `chain`, once: the format's version and the chain's parameters;
//! * `header`, many: Bitcoin headers, each after its parent. Those up to the chain's first Bitcoin block come first;
//! * `block`, many: the share blocks of the active branch, lowest first, with the shares that they list;
//! * `end`, once: counts and the tip. Without it an export is not whole.

use super::form::{BlockForm, ParamsForm, Text};
use super::source::{ChainSource, ReadError, ask};
use bitcoin::block::Header;
use bitcoin::consensus::encode::serialize_hex;
use serde::{Deserialize, Serialize};
use sharechain::params::ChainId;
use sharechain::share::{ShareBlock, ShareId};
use sharechain::units::Height;
use std::sync::Arc;

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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EndLine {
    /// Number of share blocks.
    pub blocks: u64,
    /// Number of shares, those that are blocks included.
    pub shares: u64,
    /// Id of the last block, or the chain id.
    pub tip: Text<ShareId>,
}

/// Gives an export's lines one after the other, without line ends.
pub struct Exporter {
    source: Arc<dyn ChainSource>,
    chain: ChainId,
    head: std::vec::IntoIter<Line>,
    blocks: std::vec::IntoIter<(Height, ShareId)>,
    end: Option<EndLine>,
}

impl Exporter {
    /// An export of the active branch as it stands now.
    pub async fn start(source: Arc<dyn ChainSource>) -> Result<Self, ReadError> {
        let (chain, head, blocks) = ask(source.as_ref(), |reader| {
            let chain = &reader.chain;
            let params = Line::Chain(ChainLine { format: FORMAT, params: ParamsForm::new(chain.params()) });
            let first = chain.params().first_bitcoin_block.0.0;
            let ancestors: Vec<&Header> = chain.headers().ancestors().collect();
            let lowest = (first + 1).saturating_sub(u32::try_from(ancestors.len()).unwrap_or(u32::MAX));
            let ancestors = (lowest..).zip(ancestors);
            let later = chain.headers().iter().map(|(height, header)| (height.0, header));
            let headers = ancestors
                .chain(later)
                .map(|(height, header)| Line::Header(HeaderLine { height, hex: serialize_hex(header) }));
            let head: Vec<Line> = core::iter::once(params).chain(headers).collect();
            let active = (1..=chain.height().0).filter_map(|height| chain.block_at(Height(height)));
            let blocks: Vec<_> = active.map(|block| (block.height, block.id)).collect();
            Ok((chain.id(), head, blocks))
        })
        .await?;
        let tip = blocks.last().map_or(chain.as_block(), |(_, id)| *id);
        let end = Some(EndLine { blocks: 0, shares: 0, tip: Text(tip) });
        Ok(Self { source, chain, head: head.into_iter(), blocks: blocks.into_iter(), end })
    }

    /// Share blocks that are still to come.
    pub fn blocks_left(&self) -> usize {
        self.blocks.len()
    }

    /// The next few lines; none when all have been given.
    pub async fn next(&mut self) -> Result<Option<Vec<String>>, ReadError> {
        let head: Vec<Line> = self.head.by_ref().take(1_000).collect();
        if !head.is_empty() {
            return Ok(Some(head.iter().map(text).collect()));
        }
        let wanted: Vec<_> = self.blocks.by_ref().take(BLOCKS_AT_ONCE).collect();
        if wanted.is_empty() {
            return Ok(self.end.take().map(|end| vec![text(&Line::End(end))]));
        }
        let bodies = self.bodies(wanted).await?;
        if let Some(end) = &mut self.end {
            end.blocks += bodies.len() as u64;
            end.shares += bodies.iter().map(|body| 1 + body.listed.len() as u64).sum::<u64>();
        }
        let chain = self.chain;
        // Some hundred shares are hashed and written here, which would hold up other tasks.
        let lines = tokio::task::spawn_blocking(move || {
            bodies.iter().map(|body| text(&Line::Block(Box::new(BlockForm::new(body, chain))))).collect()
        });
        lines.await.map(Some).map_err(|_| ReadError::Stopping)
    }

    async fn bodies(&self, wanted: Vec<(Height, ShareId)>) -> Result<Vec<ShareBlock>, ReadError> {
        ask(self.source.as_ref(), move |reader| {
            let body = |(_, id): &(Height, ShareId)| reader.block(id)?.ok_or(ReadError::Gone(*id));
            wanted.iter().map(body).collect()
        })
        .await
    }
}

fn text(line: &Line) -> String {
    serde_json::to_string(line).expect("a line holds nothing that JSON cannot say")
}
