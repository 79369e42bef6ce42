//! Several miners by hand at work while a test does something else, and the account of what they were told.

use super::hand::{Hand, HungUp, Want};
use super::setup::{PATIENCE, TestNode};
use bitcoin::BlockHash;
use bitcoin::hashes::Hash;
use commonwork::address::address_of;
use commonwork::bitcoin::submit::BlockOutcome;
use sharechain::owner::Owner;
use sharechain::share::ShareId;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::sync::{broadcast, watch};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

/// How they work.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Habits {
    /// Pause between two submits of one miner.
    pub(crate) pause: Duration,
    /// How many submits one job is worked on, whatever comes in meanwhile.
    pub(crate) submits_per_job: u32,
}

/// What the server said yes to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Accepted {
    pub(crate) id: ShareId,
    /// On regtest it is a Bitcoin block too.
    pub(crate) is_block: bool,
}

/// The account.
#[derive(Clone, Debug, Default)]
pub(crate) struct Account {
    pub(crate) accepted: Vec<Accepted>,
    /// Error numbers of the submits that were refused.
    pub(crate) refused: Vec<i64>,
    /// Connections that the server ended.
    pub(crate) hung_up: u32,
}

/// Miners at work.
pub(crate) struct Crew {
    stop: CancellationToken,
    account: watch::Receiver<Account>,
    tasks: Vec<JoinHandle<()>>,
}

impl Crew {
    /// One miner for each owner. Every other submit is a Bitcoin block on regtest, the others are shares only.
    pub(crate) fn at(node: &TestNode, owners: &[Owner], habits: Habits) -> Self {
        let stop = CancellationToken::new();
        let (writer, account) = watch::channel(Account::default());
        let start = |owner: &Owner| {
            let user = address_of(owner, node.params.network);
            let miner = Member { server: node.node.stratum[0], user, habits, account: writer.clone() };
            let stop = stop.clone();
            tokio::spawn(async move {
                while !stop.is_cancelled() {
                    if miner.work(&stop).await.is_err() {
                        sleep(habits.pause).await;
                    }
                }
            })
        };
        Self { tasks: owners.iter().map(start).collect(), account, stop }
    }

    /// Waits until this many more submits have been accepted.
    pub(crate) async fn accepted_more(&mut self, more: usize) {
        let wanted = self.account.borrow().accepted.len() + more;
        self.until(|account| account.accepted.len() >= wanted).await;
    }

    /// Waits until the account is like this.
    pub(crate) async fn until(&mut self, is_it: impl Fn(&Account) -> bool) {
        let reached = timeout(PATIENCE, self.account.wait_for(is_it)).await;
        reached.expect("the miners get on").expect("they work");
    }

    /// The account so far.
    pub(crate) fn account(&self) -> Account {
        self.account.borrow().clone()
    }

    /// Ends the work when every submit has been answered.
    pub(crate) async fn stop(self) -> Account {
        self.stop.cancel();
        for task in self.tasks {
            task.await.expect("no panic");
        }
        self.account.borrow().clone()
    }
}

struct Member {
    server: SocketAddr,
    user: String,
    habits: Habits,
    account: watch::Sender<Account>,
}

impl Member {
    async fn work(&self, stop: &CancellationToken) -> Result<(), HungUp> {
        let mut hand = Hand::connect(self.server, self.user.clone()).await?;
        let result = self.submit_on(&mut hand, stop).await;
        if result.is_err() {
            self.account.send_modify(|account| account.hung_up += 1);
        }
        result
    }

    async fn submit_on(&self, hand: &mut Hand, stop: &CancellationToken) -> Result<(), HungUp> {
        let mut is_block = true;
        while !stop.is_cancelled() {
            let job = hand.newest().await?;
            for _ in 0..self.habits.submits_per_job {
                is_block = !is_block;
                let found = hand.mine(&job, if is_block { Want::REGTEST_BLOCK } else { Want::REGTEST_SHARE });
                let answer = hand.submit(&found).await?;
                self.account.send_modify(|account| match answer {
                    None => account.accepted.push(Accepted { id: found.id, is_block }),
                    Some(code) => account.refused.push(code),
                });
                sleep(self.habits.pause).await;
            }
        }
        Ok(())
    }
}

/// What became of every Bitcoin block that the node submitted, at every bitcoind.
pub(crate) struct Outcomes(watch::Receiver<BTreeMap<BlockHash, Vec<BlockOutcome>>>);

impl Outcomes {
    /// Collects from now on.
    pub(crate) fn of(node: &TestNode) -> Self {
        let mut outcomes = node.node.outcomes();
        let (writer, reader) = watch::channel(BTreeMap::<_, Vec<BlockOutcome>>::new());
        tokio::spawn(async move {
            loop {
                match outcomes.recv().await {
                    Ok(outcome) => {
                        writer.send_modify(|all| all.entry(outcome.hash).or_default().push(outcome));
                    }
                    Err(broadcast::error::RecvError::Closed) => return,
                    Err(broadcast::error::RecvError::Lagged(missed)) => panic!("{missed} outcomes missed"),
                }
            }
        });
        Self(reader)
    }

    /// Waits until so many bitcoinds have answered for this block; all must have taken it.
    pub(crate) async fn accepted_by(&self, backends: usize, id: ShareId) -> Vec<BlockOutcome> {
        let hash = BlockHash::from_byte_array(id.0);
        let mut reader = self.0.clone();
        let answered =
            timeout(PATIENCE, reader.wait_for(|all| all.get(&hash).map_or(0, Vec::len) >= backends)).await;
        let answered = answered.unwrap_or_else(|_| panic!("the Bitcoin block {hash} was lost"));
        let outcomes = answered.expect("the node runs")[&hash].clone();
        assert!(outcomes.iter().all(|outcome| outcome.outcome.is_accepted()), "{outcomes:?}");
        outcomes
    }
}

impl Account {
    /// No share was lost: the chain has each. No block was lost: every bitcoind took each.
    pub(crate) async fn check(&self, node: &TestNode, outcomes: &Outcomes, backends: usize) {
        for accepted in &self.accepted {
            node.share(accepted.id).await;
            if accepted.is_block {
                outcomes.accepted_by(backends, accepted.id).await;
            }
        }
    }

    /// Every share is credited after a few more share blocks, the first of which may be on a block of before.
    pub(crate) async fn check_credited(&self, node: &TestNode, owner: &Owner) {
        let mut hand = Hand::at(node, owner).await;
        let mut unpaid: Vec<ShareId> = self.accepted.iter().map(|accepted| accepted.id).collect();
        for _ in 0..10 {
            let mut still = Vec::new();
            for id in unpaid {
                if node.share(id).await.credited_by.is_none() {
                    still.push(id);
                }
            }
            unpaid = still;
            if unpaid.is_empty() {
                return;
            }
            let job = hand.newest().await.expect("served");
            let found = hand.mine(&job, Want::bits(3));
            assert_eq!(hand.submit(&found).await.expect("served"), None);
            node.share(found.id).await;
            hand.job_with(|newer| newer.id() != job.id()).await.expect("served");
        }
        panic!("{} shares were accepted and are never paid: {unpaid:?}", unpaid.len());
    }
}
