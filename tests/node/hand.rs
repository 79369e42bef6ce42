//! A miner by hand: one Stratum connection that finds and submits just what a test wants.
//!
//! It puts coinbase, merkle root and header together by itself, so it knows the id of every share that it hands in.

use super::setup::{PATIENCE, TestNode};
use bitcoin::hashes::{Hash, sha256d};
use bitcoin::hex::{DisplayHex, FromHex};
use commonwork::address::address_of;
use serde_json::{Value, json};
use sharechain::owner::Owner;
use sharechain::share::ShareId;
use std::collections::VecDeque;
use std::net::SocketAddr;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::timeout;

/// The server has hung up.
#[derive(Debug)]
pub(crate) struct HungUp;

/// A job as it was announced.
#[derive(Clone, Debug)]
pub(crate) struct HandJob {
    id: String,
    /// In the order in which it is hashed.
    prev_block: [u8; 32],
    coinbase: [Vec<u8>; 2],
    pub(crate) branch: Vec<[u8; 32]>,
    pub(crate) version: u32,
    bits: u32,
    time: u32,
    pub(crate) clean: bool,
}

/// A solution of a job.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) id: ShareId,
    job: String,
    extranonce2: String,
    time: u32,
    nonce: u32,
}

/// How many zero bits a hash is to have in front.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Want {
    pub(crate) from: u32,
    pub(crate) below: u32,
}

impl HandJob {
    /// What the server calls it.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// Whether it builds on this Bitcoin block, given as daemons write hashes.
    pub(crate) fn is_on(&self, hash: &str) -> bool {
        let reversed: Vec<u8> = self.prev_block.iter().rev().copied().collect();
        reversed.to_lower_hex_string() == hash
    }

    /// Whether it was announced as the same job.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl Want {
    /// On regtest too little for a share block and a Bitcoin block, but a share.
    pub(crate) const REGTEST_SHARE: Self = Self { from: 0, below: 1 };
    /// On regtest a block of both chains.
    pub(crate) const REGTEST_BLOCK: Self = Self::bits(2);

    /// This many at least.
    pub(crate) const fn bits(from: u32) -> Self {
        Self { from, below: 257 }
    }

    fn is_met_by(self, hash: &[u8; 32]) -> bool {
        let zeros = hash.iter().rev().position(|byte| *byte != 0).map_or(256, |zeros| {
            u32::try_from(zeros).expect("32 at most") * 8 + hash[31 - zeros].leading_zeros()
        });
        (self.from..self.below).contains(&zeros)
    }
}

/// The connection.
pub(crate) struct Hand {
    read: BufReader<OwnedReadHalf>,
    write: OwnedWriteHalf,
    user: String,
    extranonce1: Vec<u8>,
    extranonce2: u64,
    next_id: u64,
    /// The newest job, once there is one.
    job: Option<HandJob>,
    /// Jobs that were announced.
    pub(crate) heard: usize,
    unread: VecDeque<Value>,
}

impl Hand {
    /// Logs in for an owner and waits for work.
    pub(crate) async fn at(node: &TestNode, owner: &Owner) -> Self {
        let user = address_of(owner, node.params.network);
        Self::connect(node.node.stratum[0], user).await.expect("the node serves miners")
    }

    /// Logs in under this name and waits for work.
    pub(crate) async fn connect(server: SocketAddr, user: String) -> Result<Self, HungUp> {
        Self::wishing(server, user, "x").await
    }

    /// The same with wishes in the password.
    pub(crate) async fn wishing(server: SocketAddr, user: String, password: &str) -> Result<Self, HungUp> {
        let stream = TcpStream::connect(server).await.map_err(|_| HungUp)?;
        let (read, write) = stream.into_split();
        let mut hand = Self {
            read: BufReader::new(read),
            write,
            user,
            extranonce1: Vec::new(),
            extranonce2: getrandom::u64().expect("the system's randomness"),
            next_id: 1,
            job: None,
            heard: 0,
            unread: VecDeque::new(),
        };
        let subscribed = hand.ask("mining.subscribe", json!(["by hand"])).await?;
        hand.extranonce1 = unhex(&subscribed["result"][1]);
        let user = hand.user.clone();
        let authorized = hand.ask("mining.authorize", json!([user, password])).await?;
        assert_eq!(authorized["result"], true, "{authorized}");
        hand.job_with(|_| true).await?;
        Ok(hand)
    }

    /// The newest job that has come in.
    pub(crate) async fn newest(&mut self) -> Result<HandJob, HungUp> {
        // What the server wrote before it answers this has been read then.
        self.ask("mining.extranonce.subscribe", json!([])).await?;
        self.job_with(|_| true).await
    }

    /// The newest job as soon as it is like this.
    pub(crate) async fn job_with(&mut self, is_it: impl Fn(&HandJob) -> bool) -> Result<HandJob, HungUp> {
        loop {
            while let Some(line) = self.unread.pop_front() {
                self.hear(&line);
            }
            if let Some(job) = self.job.clone().filter(&is_it) {
                return Ok(job);
            }
            let line = self.line().await?;
            self.hear(&line);
        }
    }

    /// Searches for a hash that is good enough, and not better than wanted.
    pub(crate) fn mine(&mut self, job: &HandJob, want: Want) -> Found {
        self.extranonce2 = self.extranonce2.wrapping_add(1);
        let extranonce2 = self.extranonce2.to_be_bytes();
        let [head, tail] = &job.coinbase;
        let coinbase = [head.as_slice(), &self.extranonce1, &extranonce2, tail].concat();
        let root = job.branch.iter().fold(sha256d::Hash::hash(&coinbase).to_byte_array(), |left, right| {
            sha256d::Hash::hash(&[left, *right].concat()).to_byte_array()
        });
        let header = |nonce: u32| {
            let mut header = Vec::with_capacity(80);
            header.extend_from_slice(&job.version.to_le_bytes());
            header.extend_from_slice(&job.prev_block);
            header.extend_from_slice(&root);
            [job.time, job.bits, nonce].iter().for_each(|n| header.extend_from_slice(&n.to_le_bytes()));
            sha256d::Hash::hash(&header).to_byte_array()
        };
        let nonce = (0..=u32::MAX).find(|nonce| want.is_met_by(&header(*nonce))).expect("easy enough");
        Found {
            id: ShareId(header(nonce)),
            job: job.id.clone(),
            extranonce2: extranonce2.to_lower_hex_string(),
            time: job.time,
            nonce,
        }
    }

    /// Hands a solution in and gives the server's answer: nothing, or the number of its error.
    pub(crate) async fn submit(&mut self, found: &Found) -> Result<Option<i64>, HungUp> {
        let user = self.user.clone();
        let time = format!("{:08x}", found.time);
        let nonce = format!("{:08x}", found.nonce);
        let params = json!([user, found.job, found.extranonce2, time, nonce]);
        let answer = self.ask("mining.submit", params).await?;
        Ok(if answer["result"] == true { None } else { Some(answer["error"][0].as_i64().expect("a number")) })
    }

    /// Waits until the server hangs up.
    pub(crate) async fn hung_up(mut self) {
        while self.line().await.is_ok() {}
    }

    /// The methods of all that the server says until it hangs up.
    pub(crate) async fn last_words(mut self) -> Vec<String> {
        let mut lines = Vec::from(std::mem::take(&mut self.unread));
        while let Ok(line) = self.line().await {
            lines.push(line);
        }
        lines.iter().filter_map(|line| line["method"].as_str().map(str::to_owned)).collect()
    }

    /// Asks and waits for the answer; what is announced meanwhile is kept.
    async fn ask(&mut self, method: &str, params: Value) -> Result<Value, HungUp> {
        let id = self.next_id;
        self.next_id += 1;
        let line = format!("{}\n", json!({"id": id, "method": method, "params": params}));
        self.write.write_all(line.as_bytes()).await.map_err(|_| HungUp)?;
        loop {
            let line = self.line().await?;
            if line["id"] == id {
                return Ok(line);
            }
            self.unread.push_back(line);
        }
    }

    async fn line(&mut self) -> Result<Value, HungUp> {
        let mut line = String::new();
        let read = timeout(PATIENCE, self.read.read_line(&mut line)).await;
        match read.expect("a line within two minutes, for there is a notify every half") {
            Ok(0) | Err(_) => Err(HungUp),
            Ok(_) => Ok(serde_json::from_str(&line).expect("JSON")),
        }
    }

    fn hear(&mut self, line: &Value) {
        if line["method"] != "mining.notify" {
            return;
        }
        self.heard += 1;
        let params = &line["params"];
        let number = |value: &Value| {
            u32::from_str_radix(value.as_str().expect("text"), 16).expect("hexadecimal digits")
        };
        let mut prev_block: [u8; 32] = unhex(&params[1]).try_into().expect("32 bytes");
        // Stratum turns the bytes of each word around.
        prev_block.chunks_exact_mut(4).for_each(<[u8]>::reverse);
        let branch = params[4].as_array().expect("a branch").iter();
        self.job = Some(HandJob {
            id: params[0].as_str().expect("text").to_owned(),
            prev_block,
            coinbase: [unhex(&params[2]), unhex(&params[3])],
            branch: branch.map(|hash| unhex(hash).try_into().expect("32 bytes")).collect(),
            version: number(&params[5]),
            bits: number(&params[6]),
            time: number(&params[7]),
            clean: params[8].as_bool().expect("a boolean"),
        });
    }
}

fn unhex(value: &Value) -> Vec<u8> {
    Vec::from_hex(value.as_str().expect("text")).expect("hexadecimal digits")
}
