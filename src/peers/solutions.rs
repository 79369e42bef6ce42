//! Found Bitcoin blocks on their way from node to node (protocol section 8): whoever can put one together submits it too.
//!
//! A found block goes out as its header, its coinbase and short ids (BIP152). A peer takes the transactions from its
//! own recent templates, then from its bitcoind's mempool, and asks whoever sent it for the rest. A block is forwarded only
//! when it is whole and its proof of work is right, so nobody can fill the network with other things.

use super::conduct::Fault;
use super::link::{Command, Event, MAX_ANSWER, MessageToken, NoAnswer, Peer, QuestionToken, RequestToken};
use super::link::{Topic, Verdict};
use crate::bitcoin::Template;
use crate::bitcoin::client::Lookup;
use crate::bitcoin::compact::{self, Rebuild};
use crate::bitcoin::submit::{BlockSubmitter, FoundBlock};
use crate::chain::ChainHandle;
use bitcoin::bip152::{BlockTransactions, BlockTransactionsRequest};
use bitcoin::consensus::encode::{deserialize, serialize};
use bitcoin::{Block, BlockHash};
use sharechain::bitcoin_headers::ContextError;
use sharechain::share::{COMMITMENT_OUTPUT_HEAD, ShareHeader};
use sharechain::target::Target;
use sharechain::units::BitcoinHeight;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

/// First byte of the question for transactions of a found block; the rest is BIP152's `getblocktxn`, the answer its
/// `blocktxn`.
pub const TRANSACTIONS: u8 = 6;
/// Tokens of this desk's questions have this bit; those of the rest of the node's logic have not.
pub const OWN_TOKEN: u64 = 1 << 63;
/// Templates whose transactions are tried, newest last.
const MAX_TEMPLATES: usize = 6;
/// Blocks that peers may ask transactions of.
const MAX_KEPT: usize = 4;
/// Blocks remembered as done, so that none is put together twice.
const MAX_DONE: usize = 256;
/// Blocks put together at a time, each from another peer.
const MAX_REBUILDS: usize = 8;
/// A block that builds so many blocks below the best header is no news.
const MAX_DEPTH: u32 = 6;
/// How long a peer may take to send transactions.
const PATIENCE: Duration = Duration::from_secs(20);

/// What the desk works with.
pub struct Parts {
    /// The share chain, for the Bitcoin headers that it knows.
    pub chain: ChainHandle,
    /// The node's own templates.
    pub templates: watch::Receiver<Option<Arc<Template>>>,
    /// The node's own bitcoind.
    pub bitcoin: Lookup,
    /// Where blocks are submitted, and where those of this node are heard of.
    pub submitter: BlockSubmitter,
    /// The way to the network.
    pub commands: mpsc::Sender<Command>,
    /// Where faults of peers are counted.
    pub faults: mpsc::Sender<(Peer, Fault)>,
}

/// Whether an event is the desk's: found blocks, questions for their transactions, answers to its own questions.
pub fn is_ours(event: &Event) -> bool {
    match event {
        Event::Gossip { topic, .. } => *topic == Topic::Solution,
        Event::Asked { bytes, .. } => bytes.first() == Some(&TRANSACTIONS),
        Event::Answered { request, .. } => request.0 & OWN_TOKEN != 0,
        Event::Connected { .. } | Event::Disconnected { .. } => false,
    }
}

/// Brings found blocks to peers and peers' found blocks to bitcoind, until `stop`.
pub async fn run(parts: Parts, events: mpsc::Receiver<Event>, stop: CancellationToken) {
    let desk = Desk {
        templates: VecDeque::new(),
        kept: VecDeque::new(),
        done: VecDeque::new(),
        rebuilding: BTreeSet::new(),
        asked: BTreeMap::new(),
        next_request: 0,
        rebuilds: JoinSet::new(),
        parts,
    };
    desk.run(events, stop).await;
}

struct Desk {
    parts: Parts,
    templates: VecDeque<Arc<Template>>,
    kept: VecDeque<Arc<Block>>,
    done: VecDeque<BlockHash>,
    rebuilding: BTreeSet<Peer>,
    asked: BTreeMap<RequestToken, oneshot::Sender<Result<Vec<u8>, NoAnswer>>>,
    next_request: u64,
    rebuilds: JoinSet<Rebuilt>,
}

/// A gossiped block that is being put together.
struct Arrival {
    peer: Peer,
    message: MessageToken,
    rebuild: Rebuild,
}

/// The end of an attempt.
struct Rebuilt {
    peer: Peer,
    message: MessageToken,
    hash: BlockHash,
    result: Result<(Block, BitcoinHeight), Failure>,
}

/// Why a block of a peer was not put together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
enum Failure {
    /// Its header is no Bitcoin block's.
    #[error("its header breaks Bitcoin's rules or misses its target")]
    BadHeader,
    /// Its parent is not known here (yet).
    #[error("it builds on a Bitcoin block that is not known here")]
    UnknownParent,
    /// It builds on a Bitcoin block that is no news.
    #[error("it builds on an old Bitcoin block")]
    Old,
    /// The rest did not come, or not in time.
    #[error("its other transactions did not come: {0}")]
    NoAnswer(#[from] NoAnswer),
    /// What came is not what was asked for.
    #[error("the transactions that came are not the block's")]
    Mismatch,
    /// The node is ending.
    #[error("the node is stopping")]
    Stopped,
}

impl Failure {
    /// What whoever sent it is charged with; none where it could not know.
    const fn fault(self) -> Option<Fault> {
        match self {
            Self::BadHeader => Some(Fault::InvalidWork),
            Self::Mismatch => Some(Fault::LyingAnswer),
            Self::UnknownParent | Self::Old | Self::NoAnswer(_) | Self::Stopped => None,
        }
    }
}

/// Whether a block meets its target and its coinbase ends as every share's does (protocol section 4.3). Which chain the
/// commitment is for cannot be seen.
fn is_of_a_pool(rebuild: &Rebuild) -> bool {
    let header = rebuild.header();
    let meets = Target::from_compact(header.bits)
        .is_ok_and(|target| target.is_met_by(bitcoin::hashes::Hash::as_byte_array(&header.block_hash())));
    let output = rebuild.coinbase().and_then(|coinbase| coinbase.output.last());
    let commits = output.is_some_and(|output| {
        let (head, script) = (&COMMITMENT_OUTPUT_HEAD[9..], output.script_pubkey.as_bytes());
        output.value.to_sat() == 0 && script.len() == 46 && script.starts_with(head)
    });
    meets && commits
}

impl Desk {
    async fn run(mut self, mut events: mpsc::Receiver<Event>, stop: CancellationToken) {
        let mut submitted = self.parts.submitter.submitted();
        let mut templates = self.parts.templates.clone();
        self.remember(templates.borrow_and_update().clone());
        let (ask, mut questions) = mpsc::channel::<Question>(MAX_REBUILDS);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                block = submitted.recv() => match block {
                    Ok(block) => self.tell(&block).await,
                    Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => return,
                },
                changed = templates.changed() => match changed {
                    Ok(()) => self.remember(templates.borrow_and_update().clone()),
                    Err(_) => return,
                },
                event = events.recv() => match event {
                    Some(event) => self.on_event(event, &ask).await,
                    None => return,
                },
                Some(question) = questions.recv() => self.ask(question).await,
                Some(ended) = self.rebuilds.join_next() => {
                    if let Ok(rebuilt) = ended {
                        self.settle(rebuilt).await;
                    }
                }
            }
        }
    }

    fn remember(&mut self, template: Option<Arc<Template>>) {
        self.templates.extend(template);
        if self.templates.len() > MAX_TEMPLATES {
            self.templates.pop_front();
        }
    }

    fn is_done(&self, hash: BlockHash) -> bool {
        self.done.contains(&hash)
    }

    fn finished(&mut self, block: Arc<Block>) {
        self.done.push_back(block.block_hash());
        if self.done.len() > MAX_DONE {
            self.done.pop_front();
        }
        self.kept.push_back(block);
        if self.kept.len() > MAX_KEPT {
            self.kept.pop_front();
        }
    }

    /// Tells peers of a block of this node's own miners. One that came from a peer has been forwarded already.
    async fn tell(&mut self, found: &FoundBlock) {
        if self.is_done(found.hash) {
            return;
        }
        let Ok(block) = deserialize::<Block>(&found.bytes) else {
            return warn!(hash = %found.hash, "BUG: a block of our own does not decode, so peers are not told of it");
        };
        let mut nonce = [0; 8];
        if let Err(error) = getrandom::fill(&mut nonce) {
            debug!("the system gives no randomness, so the short ids are not salted: {error}");
        }
        let bytes = compact::describe(&block, u64::from_le_bytes(nonce));
        self.finished(Arc::new(block));
        self.send(Command::Publish { topic: Topic::Solution, bytes }).await;
    }

    async fn on_event(&mut self, event: Event, ask: &mpsc::Sender<Question>) {
        match event {
            Event::Gossip { peer, message, bytes, .. } => {
                if let Err(verdict) = self.begin(peer, message, &bytes, ask) {
                    self.send(Command::Verdict { message, verdict }).await;
                }
            }
            Event::Asked { question, bytes, .. } => self.answer(question, &bytes).await,
            Event::Answered { request, answer, .. } => {
                if let Some(waiting) = self.asked.remove(&request) {
                    // Whoever waited may have given up.
                    let _ = waiting.send(answer);
                }
            }
            Event::Connected { .. } | Event::Disconnected { .. } => {}
        }
    }

    /// Begins to put a block together, or says at once what becomes of the message.
    fn begin(
        &mut self,
        peer: Peer,
        message: MessageToken,
        bytes: &[u8],
        ask: &mpsc::Sender<Question>,
    ) -> Result<(), Verdict> {
        let rebuild = match Rebuild::read(bytes) {
            Ok(rebuild) if is_of_a_pool(&rebuild) => rebuild,
            Ok(_) => return Err(self.charge(peer, Fault::InvalidWork)),
            Err(error) => {
                debug!(peer = peer.0, "a found block could not be read: {error}");
                return Err(self.charge(peer, Fault::BadEncoding));
            }
        };
        let is_busy = self.rebuilding.len() >= MAX_REBUILDS || self.rebuilding.contains(&peer);
        if is_busy || self.is_done(rebuild.header().block_hash()) {
            return Err(Verdict::Ignore);
        }
        self.rebuilding.insert(peer);
        let arrival = Arrival { peer, message, rebuild };
        let work = Work {
            chain: self.parts.chain.clone(),
            bitcoin: self.parts.bitcoin.clone(),
            templates: self.templates.iter().cloned().collect(),
            ask: ask.clone(),
        };
        self.rebuilds.spawn(work.put_together(arrival));
        Ok(())
    }

    async fn settle(&mut self, rebuilt: Rebuilt) {
        let Rebuilt { peer, message, hash, result } = rebuilt;
        self.rebuilding.remove(&peer);
        let verdict = match result {
            Ok(_) if self.is_done(hash) => Verdict::Ignore,
            Ok((block, height)) => {
                info!(%hash, height = height.0, "BITCOIN BLOCK found by another node of the pool, submitting it too");
                let bytes = serialize(&block);
                // Before it is submitted, so that it is not told to others as news of this node's.
                self.finished(Arc::new(block));
                self.parts.submitter.submit(FoundBlock { hash, height, bytes, own: false });
                Verdict::Accept
            }
            Err(failure) => {
                debug!(%hash, peer = peer.0, "a found block was not put together: {failure}");
                failure.fault().map_or(Verdict::Ignore, |fault| self.charge(peer, fault))
            }
        };
        self.send(Command::Verdict { message, verdict }).await;
    }

    async fn ask(&mut self, question: Question) {
        self.next_request += 1;
        let request = RequestToken(OWN_TOKEN | self.next_request);
        self.asked.insert(request, question.reply);
        let mut bytes = vec![TRANSACTIONS];
        bytes.extend(serialize(&BlockTransactionsRequest {
            block_hash: question.hash,
            indexes: question.places,
        }));
        self.send(Command::Ask { peer: question.peer, request, bytes, most: MAX_ANSWER, patience: PATIENCE })
            .await;
    }

    async fn answer(&self, question: QuestionToken, bytes: &[u8]) {
        let bytes = self.transactions(bytes.get(1..).unwrap_or_default());
        self.send(Command::Answer { question, bytes }).await;
    }

    /// The answer to a question for transactions; none where it makes no sense or the block is not kept here.
    fn transactions(&self, question: &[u8]) -> Option<Vec<u8>> {
        let request: BlockTransactionsRequest = deserialize(question).ok()?;
        let block = self.kept.iter().find(|block| block.block_hash() == request.block_hash)?;
        let wanted = BlockTransactions::from_request(&request, block).ok()?;
        Some(serialize(&wanted)).filter(|bytes| bytes.len() <= MAX_ANSWER)
    }

    /// Has a peer's fault counted, and says what becomes of its message.
    fn charge(&self, peer: Peer, fault: Fault) -> Verdict {
        // When more faults wait than there is room for, the peers concerned are going already.
        let _ = self.parts.faults.try_send((peer, fault));
        Verdict::Reject
    }

    async fn send(&self, command: Command) {
        // The network ends before this desk only when the node ends.
        let _ = self.parts.commands.send(command).await;
    }
}

/// A question of a task for some of a block's transactions.
struct Question {
    peer: Peer,
    hash: BlockHash,
    places: Vec<u64>,
    reply: oneshot::Sender<Result<Vec<u8>, NoAnswer>>,
}

/// What one attempt works with.
struct Work {
    chain: ChainHandle,
    bitcoin: Lookup,
    templates: Vec<Arc<Template>>,
    ask: mpsc::Sender<Question>,
}

impl Work {
    async fn put_together(self, arrival: Arrival) -> Rebuilt {
        let Arrival { peer, message, rebuild } = arrival;
        let hash = rebuild.header().block_hash();
        let result = self.attempt(peer, rebuild).await;
        Rebuilt { peer, message, hash, result }
    }

    async fn attempt(&self, peer: Peer, mut rebuild: Rebuild) -> Result<(Block, BitcoinHeight), Failure> {
        let height = self.check_header(&rebuild).await?;
        self.take_from_templates(&mut rebuild);
        if !rebuild.missing().is_empty() {
            self.take_from_mempool(&mut rebuild).await;
        }
        let missing = rebuild.missing();
        if !missing.is_empty() {
            self.fetch(peer, &mut rebuild, missing).await?;
        }
        if let Ok(block) = rebuild.finish() {
            return Ok((block, height));
        }
        // A short id fitted a transaction that is not in the block: the finder sends all of them.
        let guessed = rebuild.guessed();
        self.fetch(peer, &mut rebuild, guessed).await?;
        rebuild.finish().map(|block| (block, height)).map_err(|_| Failure::Mismatch)
    }

    /// The height that the header has, if it is one that Bitcoin could accept now: a known and recent parent, right bits
    /// (protocol section 4, check 5).
    async fn check_header(&self, rebuild: &Rebuild) -> Result<BitcoinHeight, Failure> {
        let header = *rebuild.header();
        let place = ShareHeader {
            version: header.version,
            prev_block: header.prev_blockhash,
            time: header.time,
            bits: header.bits,
            nonce: header.nonce,
        };
        let context = self.chain.read(move |reader| {
            let headers = reader.chain.headers();
            (headers.context(&place), headers.best().height)
        });
        let (context, best) = context.await.map_err(|_| Failure::Stopped)?;
        match context {
            Ok(context) if context.height.0.saturating_add(MAX_DEPTH) <= best.0 => Err(Failure::Old),
            Ok(context) => Ok(context.height),
            Err(ContextError::UnknownPrevBlock(_)) => Err(Failure::UnknownParent),
            Err(_) => Err(Failure::BadHeader),
        }
    }

    fn take_from_templates(&self, rebuild: &mut Rebuild) {
        for transaction in self.templates.iter().rev().flat_map(|template| &template.transactions) {
            if rebuild.wants(&transaction.wtxid) {
                rebuild.offer(&transaction.wtxid, &transaction.raw);
            }
        }
    }

    async fn take_from_mempool(&self, rebuild: &mut Rebuild) {
        let result = async {
            let mut entries = self.bitcoin.mempool().await?;
            entries.retain(|entry| rebuild.wants(&entry.wtxid));
            let ids: Vec<_> = entries.iter().map(|entry| entry.txid).collect();
            let raw = self.bitcoin.transactions(&ids).await?;
            Ok::<_, crate::bitcoin::BackendError>(entries.into_iter().zip(raw))
        };
        match result.await {
            Ok(found) => {
                for (entry, raw) in found {
                    raw.iter().for_each(|raw| rebuild.offer(&entry.wtxid, raw));
                }
            }
            Err(error) => debug!("the mempool does not help: {error}"),
        }
    }

    async fn fetch(&self, peer: Peer, rebuild: &mut Rebuild, places: Vec<u64>) -> Result<(), Failure> {
        let (reply, answer) = oneshot::channel();
        let hash = rebuild.header().block_hash();
        let question = Question { peer, hash, places: places.clone(), reply };
        self.ask.send(question).await.map_err(|_| Failure::Stopped)?;
        let bytes = answer.await.map_err(|_| Failure::Stopped)??;
        let answer: BlockTransactions = deserialize(&bytes).map_err(|_| Failure::Mismatch)?;
        if answer.block_hash != hash || answer.transactions.len() != places.len() {
            return Err(Failure::Mismatch);
        }
        rebuild.fill(&places, answer.transactions);
        Ok(())
    }
}
