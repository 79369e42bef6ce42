//! `getblocktemplate` and `submitblock`: a block put together from the texts alone, with the `bitcoin` crate's own types.

use super::{Answer, Client, Setup, easy, found, rig, soon, unix_now};
use crate::support::jobs::{JobMaker, target as at_difficulty};
use bitcoin::block::{Header, Version};
use bitcoin::consensus::encode::{deserialize_hex, serialize, serialize_hex};
use bitcoin::hashes::Hash;
use bitcoin::hex::FromHex;
use bitcoin::{BlockHash, CompactTarget, Transaction, TxMerkleNode, Txid, VarInt, Witness, merkle_tree};
use primitive_types::U256;
use serde_json::{Value, json};
use sharechain::target::Target;
use sharechain::verify::Targets;

/// Asks for a template with these keys besides those that must be there.
pub(super) async fn ask(client: &Client, more: Value) -> Answer {
    let mut wanted = json!({"rules": ["segwit"], "capabilities": ["coinbasetxn", "workid", "longpoll"]});
    let more = more.as_object().expect("an object").clone();
    wanted.as_object_mut().expect("an object").extend(more);
    client.call("getblocktemplate", json!([wanted])).await
}

pub(super) async fn template(client: &Client) -> Value {
    ask(client, json!({})).await.result().clone()
}

/// A block made from a template.
#[derive(Clone, Debug)]
pub(super) struct Made {
    pub(super) header: Header,
    pub(super) coinbase: Transaction,
    pub(super) others: Vec<Transaction>,
    work_id: String,
}

impl Made {
    pub(super) fn from(template: &Value) -> Self {
        let text = |value: &Value| value.as_str().expect("text").to_owned();
        let number = |digits: &Value| u32::from_str_radix(&text(digits), 16).expect("hexadecimal digits");
        let prev_blockhash: BlockHash = text(&template["previousblockhash"]).parse().expect("a hash");
        let others = template["transactions"].as_array().expect("a list").iter();
        let mut made = Self {
            header: Header {
                version: Version::from_consensus(
                    template["version"].as_i64().expect("a number").try_into().expect("32 bits"),
                ),
                prev_blockhash,
                merkle_root: TxMerkleNode::all_zeros(),
                time: template["curtime"].as_u64().expect("a number").try_into().expect("32 bits"),
                bits: CompactTarget::from_consensus(number(&template["bits"])),
                nonce: 0,
            },
            coinbase: deserialize_hex(&text(&template["coinbasetxn"]["data"])).expect("a transaction"),
            others: others.map(|tx| deserialize_hex(&text(&tx["data"])).expect("a transaction")).collect(),
            work_id: text(&template["workid"]),
        };
        assert_eq!(text(&template["coinbasetxn"]["txid"]), made.coinbase.compute_txid().to_string());
        made.set_root();
        made
    }

    /// Puts the present transactions into the header.
    pub(super) fn set_root(&mut self) {
        let ids = std::iter::once(&self.coinbase).chain(&self.others).map(Transaction::compute_txid);
        let leaves = ids.map(|id: Txid| TxMerkleNode::from_raw_hash(id.into()));
        self.header.merkle_root = merkle_tree::calculate_root(leaves).expect("a coinbase");
    }

    /// With the first nonce whose hash is like this.
    pub(super) fn mine(mut self, is_it: impl Fn(U256) -> bool) -> Self {
        while !is_it(U256::from_little_endian(&self.hash())) {
            self.header.nonce = self.header.nonce.checked_add(1).expect("easy enough");
        }
        self
    }

    pub(super) fn hash(&self) -> [u8; 32] {
        self.header.block_hash().to_byte_array()
    }

    fn head(&self) -> String {
        serialize_hex(&self.header)
    }

    /// The header, the count and the coinbase as it came.
    pub(super) fn short(&self) -> String {
        let count = VarInt::from(1 + self.others.len());
        format!("{}{}{}", self.head(), serialize_hex(&count), serialize_hex(&self.coinbase))
    }

    /// All of it.
    pub(super) fn whole(&self) -> String {
        self.short() + &self.others.iter().map(serialize_hex).collect::<String>()
    }

    fn id(&self) -> Value {
        json!({"workid": self.work_id})
    }
}

pub(super) fn target(template: &Value, name: &str) -> U256 {
    let digits = template[name].as_str().expect("text");
    U256::from_big_endian(&Vec::<u8>::from_hex(digits).expect("hexadecimal digits"))
}

async fn submit(client: &Client, params: Value) -> Value {
    client.call("submitblock", params).await.result().clone()
}

fn word(reason: &Value) -> &str {
    reason.as_str().expect("a reason").split(':').next().expect("a word")
}

/// A job without other transactions, whose merkle branch is that of its template.
fn plain(id: u32) -> JobMaker {
    JobMaker { branch_len: 0, ..easy(id) }
}

#[tokio::test]
async fn a_template_says_what_is_true_and_its_shares_count_in_every_form() {
    let mut running = Setup::default().start();
    running.publish(plain(1));
    let client = rig(&running);
    let shown = template(&client).await;
    assert_eq!(shown["mutable"], json!(["time", "version/force", "submit/coinbase", "submit/truncate"]));
    assert_eq!(
        (&shown["capabilities"], &shown["rules"]),
        (&json!(["proposal"]), &json!(["csv", "!segwit", "taproot"]))
    );
    assert_eq!((&shown["height"], &shown["bits"]), (&json!(900_000), &json!("17023456")));
    assert_eq!((&shown["noncerange"], &shown["expires"]), (&json!("00000000ffffffff"), &json!(120)));
    assert_eq!((&shown["coinbaseaux"], shown.get("coinbasevalue")), (&json!({}), None));
    assert_eq!(shown["coinbasetxn"]["required"], true);
    let time = |name: &str| shown[name].as_u64().expect("a time");
    assert!(time("mintime") < time("curtime") && time("curtime") < time("maxtime"));
    assert!(time("maxtime") <= u64::from(unix_now()) + 7_200);
    assert_eq!(target(&shown, "fulltarget"), U256::from(0xffff) << 208 << 20);
    assert!(target(&shown, "target") > target(&shown, "fulltarget"), "shares are easier than blocks");

    for form in 0..5 {
        let shown = template(&client).await;
        let goal = target(&shown, "target");
        let mut made = Made::from(&shown);
        if form == 4 {
            made.coinbase.input[0].witness = Witness::from_slice(&[[0_u8; 32]]);
        }
        let solved = made.mine(|hash| hash <= goal);
        let params = match form {
            0 => json!([solved.head(), solved.id()]),
            1 => json!([solved.head()]),
            2 => json!([solved.short(), solved.id()]),
            _ => json!([solved.whole()]),
        };
        assert_eq!(submit(&client, params.clone()).await, Value::Null, "{form}");
        let share = soon(running.shares.recv()).await.expect("a share");
        assert_eq!((share.id.0, serialize(&share.header)), (solved.hash(), serialize(&solved.header)));
        assert_eq!(word(&submit(&client, params).await), "duplicate", "{form}");
    }
    soon(running.stop()).await;
}

#[tokio::test]
async fn the_miners_part_of_the_coinbase_is_where_the_template_says() {
    let mut running = Setup::default().start();
    running.publish(plain(1));
    let client = rig(&running);
    let shown = template(&client).await;
    let goal = target(&shown, "target");
    let place = &shown["extranonce"];
    let offset = usize::try_from(place["offset"].as_u64().expect("a number")).expect("small");
    assert_eq!(place["length"], 4);
    let made = Made::from(&shown);
    let with_byte = |at: usize| {
        let mut bytes = serialize(&made.coinbase);
        bytes[at] ^= 1;
        let mut made = made.clone();
        made.coinbase = bitcoin::consensus::deserialize(&bytes).expect("still a transaction");
        made.set_root();
        made.mine(|hash| hash <= goal)
    };
    for at in offset..offset + 4 {
        let solved = with_byte(at);
        assert_eq!(submit(&client, json!([solved.whole(), solved.id()])).await, Value::Null);
        let share = soon(running.shares.recv()).await.expect("a share");
        assert_eq!(share.id.0, solved.hash());
    }
    // Before it and behind it, in the tag and in the amount of an output.
    for at in [offset - 1, offset - 40, offset + 4, 50, 70] {
        let solved = with_byte(at);
        assert_eq!(
            word(&submit(&client, json!([solved.whole(), solved.id()])).await),
            "bad-cb-prefix",
            "{at}"
        );
    }
    soon(running.stop()).await;
}

#[tokio::test]
async fn what_is_wrong_with_a_block_is_said_before_it_is_mined_and_after() {
    let running = Setup::default().start();
    let targets = Targets { network: Target::MIN, block: Target::MIN, share: at_difficulty(-24) };
    running.publish(JobMaker { targets, ..plain(1) });
    let client = rig(&running);
    let shown = template(&client).await;
    let goal = target(&shown, "target");
    let made = Made::from(&shown);
    let changed = |change: &dyn Fn(&mut Made)| {
        let mut made = made.clone();
        change(&mut made);
        made
    };
    let own_set = changed(&|made| {
        made.others.push(made.coinbase.clone());
        made.set_root();
    });
    let odd_coinbase = changed(&|made| {
        made.coinbase.output[0].value += bitcoin::Amount::ONE_SAT;
        made.set_root();
    });
    for (made, expected) in [
        (own_set, "bad-txnmrklroot"),
        (odd_coinbase, "bad-cb-prefix"),
        (changed(&|made| made.header.time -= 4_000), "time-too-old"),
        (changed(&|made| made.header.time = unix_now() + 7_300), "time-too-new"),
        (changed(&|made| made.header.version = Version::from_consensus(4)), "bad-version"),
        (changed(&|made| made.header.prev_blockhash = BlockHash::all_zeros()), "bad-prevblk"),
        (changed(&|made| made.header.bits = CompactTarget::from_consensus(0x207f_ffff)), "bad-diffbits"),
    ] {
        let proposal =
            ask(&client, json!({"mode": "proposal", "data": made.whole(), "workid": made.work_id})).await;
        assert_eq!(word(proposal.result()), expected);
        let solved = made.mine(|hash| hash <= goal);
        assert_eq!(word(&submit(&client, json!([solved.whole(), solved.id()])).await), expected);
    }
    let proposal =
        ask(&client, json!({"mode": "proposal", "data": made.whole(), "workid": made.work_id})).await;
    assert_eq!(proposal.result(), &Value::Null);
    let rolled = changed(&|made| made.header.version = Version::from_consensus(0x3fff_e000));
    let solved = rolled.mine(|hash| hash <= goal);
    assert_eq!(
        submit(&client, json!([solved.whole(), solved.id()])).await,
        Value::Null,
        "version bits may be rolled"
    );
    let poor = made.clone().mine(|hash| hash > goal);
    assert_eq!(word(&submit(&client, json!([poor.whole(), poor.id()])).await), "high-hash");
    assert_eq!(running.miners()[0].tally.refused.total(), 8);
    soon(running.stop()).await;
}

#[tokio::test]
async fn a_header_says_what_it_solves_whatever_id_comes_with_it() {
    let running = Setup::default().start();
    running.publish(plain(1));
    let client = rig(&running);
    let other = template(&client).await;
    for id in [other["workid"].clone(), json!("12345678"), json!("no id"), json!(null)] {
        let shown = template(&client).await;
        let network = target(&shown, "fulltarget");
        let solved = Made::from(&shown).mine(|hash| hash <= network);
        assert_eq!(submit(&client, json!([solved.head(), {"workid": id}])).await, Value::Null);
        assert_eq!(found(&running).last().map(|candidate| candidate.id.0), Some(solved.hash()));
    }
    // Where the header does not say it, the id helps to say what is wrong.
    let mut changed = Made::from(&other);
    changed.header.merkle_root = TxMerkleNode::all_zeros();
    assert_eq!(word(&submit(&client, json!([changed.head(), changed.id()])).await), "bad-txnmrklroot");
    assert_eq!(submit(&client, json!([changed.head()])).await, "unknown-work");
    soon(running.stop()).await;
}

#[tokio::test]
async fn a_bitcoin_block_is_passed_on_though_it_is_late() {
    let running = Setup::default().start();
    running.publish(plain(1));
    let client = rig(&running);
    let shown = template(&client).await;
    let network = target(&shown, "fulltarget");
    let solved = Made::from(&shown).mine(|hash| hash <= network);
    running.publish(JobMaker { height: 900_002, prev_block: 0xb2, ..plain(2) });
    assert_eq!(word(&submit(&client, json!([solved.short(), solved.id()])).await), "stale-prevblk");
    let passed_on = found(&running);
    assert_eq!(passed_on.iter().map(|candidate| candidate.id.0).collect::<Vec<_>>(), [solved.hash()]);
    soon(running.stop()).await;
}
