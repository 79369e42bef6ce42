//! Whom each share of an exported chain pays, and the next Bitcoin block: worked out from the lines of `chain export` and
//! docs/protocol.md, sections 2 and 6, alone. It shares no code with the program but big numbers and SHA-256, and is made
//! to be read beside the text: slow, and without a cache.

use bitcoin::hashes::{Hash, HashEngine, sha256, sha256d};
use bitcoin::hex::FromHex;
use primitive_types::U256;
use serde_json::Value;
use std::cmp::Reverse;
use std::collections::BTreeMap;

/// Who has how much of something, ranked.
pub(crate) type Ranked<T> = Vec<(Vec<u8>, T)>;

/// Some of them, one after the other.
type Part<'a> = &'a [(Vec<u8>, u128)];

/// An export, read.
pub(crate) struct Recount {
    params: Value,
    /// Hashes are kept as they are hashed, not as they are shown.
    chain_id: [u8; 32],
    /// By height, as the export tells it: hash and network target.
    headers: BTreeMap<u64, ([u8; 32], u32)>,
    /// By height, from 1.
    blocks: BTreeMap<u64, Block>,
    heights: BTreeMap<[u8; 32], u64>,
}

struct Block {
    share: Share,
    listed: Vec<Share>,
}

/// A share of the export, as far as payouts need it.
#[derive(Clone)]
pub(crate) struct Share {
    /// As people are shown it.
    pub(crate) id: String,
    pub(crate) class: u64,
    owner: Vec<u8>,
    bitcoin_height: u64,
    value: u64,
    prev_block: [u8; 32],
    base: [u8; 32],
    bits: u32,
    share_bits: u32,
}

/// What a coinbase pays.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Paid {
    pub(crate) bitcoin_height: u64,
    pub(crate) value: u64,
    pub(crate) outputs: Ranked<u64>,
    pub(crate) bonus: u64,
    /// The output of the bonus, if there is one.
    pub(crate) to_finder: Ranked<u64>,
}

/// The reward window at a block.
pub(crate) struct Window {
    pub(crate) ranked: Ranked<u128>,
    /// Whether its edge is within a credit.
    pub(crate) is_cut: bool,
}

/// What a coinbase pays, and how that came about.
pub(crate) struct Counted {
    pub(crate) paid: Paid,
    /// A share's, by which it pays; the tip's where it is the next Bitcoin block's.
    pub(crate) window: Window,
    /// For each stage, the largest class first, whether more were there than it could select.
    pub(crate) drew: Vec<bool>,
}

impl Recount {
    /// Reads an export to its end.
    pub(crate) fn of(export: &str) -> Self {
        let mut lines = export.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
        let params = lines.next().expect("a line")["chain"]["params"].take();
        let mut this = Self {
            chain_id: shown(&params["chain_id"]),
            params,
            headers: BTreeMap::new(),
            blocks: BTreeMap::new(),
            heights: BTreeMap::new(),
        };
        let mut ended = false;
        for line in lines {
            assert!(!ended, "nothing comes after the end");
            if let Some(header) = line.get("header") {
                let bytes = bytes(&header["hex"]);
                let bits = u32::from_le_bytes(bytes[72..76].try_into().expect("four bytes"));
                let hash = sha256d::Hash::hash(&bytes).to_byte_array();
                this.headers.insert(header["height"].as_u64().expect("a height"), (hash, bits));
            } else if let Some(block) = line.get("block") {
                let share = Share::read(&block["share"]);
                let listed = block["listed"].as_array().expect("a list").iter().map(Share::read).collect();
                let height = block["height"].as_u64().expect("a height");
                this.heights.insert(shown(&block["share"]["id"]), height);
                this.blocks.insert(height, Block { share, listed });
            } else {
                assert_eq!(line["end"]["blocks"], this.blocks.len(), "{line}");
                ended = true;
            }
        }
        assert!(ended, "the export is whole");
        this
    }

    /// All that it holds, blocks and listed ones.
    pub(crate) fn shares(&self) -> impl Iterator<Item = &Share> {
        self.blocks.values().flat_map(|block| std::iter::once(&block.share).chain(&block.listed))
    }

    pub(crate) fn classes(&self) -> Vec<u64> {
        self.params["classes"].as_array().expect("classes").iter().filter_map(Value::as_u64).collect()
    }

    /// What the coinbase of a share pays, and the window that it is shared out by.
    pub(crate) fn of_share(&self, share: &Share) -> Counted {
        let base = self.heights.get(&share.base).copied().unwrap_or(0);
        let window = self.window(self.payout_block(base, share.bitcoin_height));
        let (selected, drew) =
            self.selected(&window.ranked, share.prev_block, share.bitcoin_height, share.class);
        let paid = split(&selected, share.value, Some(&share.owner), share.bitcoin_height);
        Counted { paid, window, drew }
    }

    /// What the next Bitcoin block would pay in a class without fees, and the window at the tip.
    pub(crate) fn next(&self, class: u64) -> Counted {
        let (best, (prev_block, _)) = self.headers.last_key_value().expect("headers");
        let (tip, height) = (self.blocks.len() as u64, best + 1);
        let base = tip.saturating_sub(self.number("base_depth"));
        let due = self.window(self.payout_block(base, height));
        let (selected, drew) = self.selected(&due.ranked, *prev_block, height, class);
        let paid = split(&selected, self.subsidy(height), None, height);
        Counted { paid, window: self.window(tip), drew }
    }

    /// The most that a window sums to.
    pub(crate) fn window_score(&self) -> u128 {
        self.params["window_score"].as_str().expect("digits").parse().expect("a number")
    }

    fn number(&self, name: &str) -> u64 {
        self.params[name].as_u64().unwrap_or_else(|| panic!("no {name}"))
    }

    /// Of test networks.
    fn subsidy(&self, height: u64) -> u64 {
        assert!(["regtest", "embedded"].contains(&self.params["network"].as_str().expect("a name")));
        5_000_000_000 >> (height / 150)
    }

    /// Section 2, "payout block": 0 is the chain id.
    fn payout_block(&self, base: u64, bitcoin_height: u64) -> u64 {
        let fits = |height: &u64| {
            height.is_multiple_of(self.number("payout_interval"))
                && self.blocks[height].share.bitcoin_height < bitcoin_height
        };
        (1..=base).rev().find(fits).unwrap_or(0)
    }

    /// Section 2, "score".
    fn score(&self, share: &Share) -> u128 {
        let first = share.bitcoin_height / 2_016 * 2_016;
        let network = self.headers.get(&first).map_or(share.bits, |(_, bits)| *bits);
        let score = (work(share.share_bits) << 64) / work(network);
        score.min(U256::from(4) << 64).as_u128()
    }

    /// Section 2, "Credits of a block", oldest first.
    fn credits(&self, block: &Block) -> Vec<(Vec<u8>, u128)> {
        let mut credits = Vec::new();
        let id = U256::from_little_endian(&shown(&Value::String(block.share.id.clone())));
        if id <= target(block.share.share_bits) {
            credits.push((block.share.owner.clone(), self.score(&block.share)));
        }
        for share in &block.listed {
            let score = self.score(share);
            credits.push((block.share.owner.clone(), score / 256));
            credits.push((share.owner.clone(), score - score / 256));
        }
        credits
    }

    /// Section 2, "The window at a block".
    fn window(&self, height: u64) -> Window {
        let (mut left, mut is_cut) = (self.window_score(), false);
        let most = usize::try_from(self.number("window_blocks")).expect("small");
        let mut sums = BTreeMap::<Vec<u8>, u128>::new();
        for block in self.blocks.range(..=height).rev().take(most).map(|(_, block)| block) {
            for (owner, score) in self.credits(block).into_iter().rev() {
                let fits = score.min(left);
                is_cut |= 0 < fits && fits < score;
                left -= fits;
                *sums.entry(owner).or_default() += fits;
            }
        }
        Window { ranked: ranked(sums.into_iter().filter(|(_, score)| *score > 0).collect()), is_cut }
    }

    /// Sections 6.1 and 6.3: the selection of a class, and which stages drew.
    fn selected(
        &self,
        window: &Ranked<u128>,
        prev: [u8; 32],
        height: u64,
        class: u64,
    ) -> (Ranked<u128>, Vec<bool>) {
        let shared = u128::from(self.subsidy(height) * 9_950 / 10_000);
        let smallest_payout = u128::from(self.number("smallest_payout"));
        let total: u128 = sum(window);
        if total == 0 || shared < smallest_payout {
            return (Vec::new(), Vec::new());
        }
        let (mut entries, mut drew) = (window.clone(), Vec::new());
        for (stage, most) in (0_u8..).zip(self.classes().into_iter().rev().filter(|other| *other >= class)) {
            let pays = |m: &u64| {
                let (exact, _, rest, slots) = sampling(&entries, *m);
                let amount = rest.checked_div(slots).unwrap_or_else(|| exact.last().expect("not empty").1);
                *m == 1 || amount * shared / total >= smallest_payout
            };
            let m = (1..=most).rev().find(pays).expect("1 will do");
            drew.push(entries.len() as u64 > m);
            entries = drawn(&entries, m, &self.seed(prev, stage));
        }
        (entries, drew)
    }

    /// Section 6.3: the seed of a stage.
    fn seed(&self, prev_block: [u8; 32], stage: u8) -> [u8; 32] {
        let tag = sha256::Hash::hash(b"commonwork/payout");
        let mut engine = sha256::Hash::engine();
        for part in [tag.as_byte_array(), tag.as_byte_array(), &self.chain_id, &prev_block] {
            engine.input(part);
        }
        engine.input(&[stage]);
        sha256::Hash::from_engine(engine).to_byte_array()
    }
}

impl Share {
    fn read(form: &Value) -> Self {
        let (header, commitment) = (&form["header"], &form["commitment"]);
        let number = |of: &Value| of.as_u64().expect("a number");
        Self {
            id: form["id"].as_str().expect("text").to_owned(),
            class: number(&commitment["class"]),
            owner: bytes(&commitment["owner"]),
            bitcoin_height: number(&commitment["bitcoin_height"]),
            value: number(&commitment["coinbase_value"]),
            prev_block: shown(&header["prev_block"]),
            base: shown(&commitment["base"]),
            bits: bits(&header["bits"]),
            share_bits: bits(&commitment["share_bits"]),
        }
    }
}

/// Section 6.2: entries paid as they are, the others, the sum of these, and the slots that they share.
fn sampling(entries: &Ranked<u128>, most: u64) -> (Part<'_>, Part<'_>, u128, u128) {
    if entries.len() as u64 <= most {
        return (entries, &[], 0, 0);
    }
    let rest = |j: usize| entries[j..].iter().map(|(_, score)| score).sum::<u128>();
    let slots = |j: usize| u128::from(most) - j as u128;
    let j = (0..entries.len()).find(|j| entries[*j].1 * slots(*j) < rest(*j)).expect("more than slots");
    (&entries[..j], &entries[j..], rest(j), slots(j))
}

/// Section 6.2: who is selected with this seed.
fn drawn(entries: &Ranked<u128>, most: u64, seed: &[u8; 32]) -> Ranked<u128> {
    let (exact, others, rest, slots) = sampling(entries, most);
    let mut selected = exact.to_vec();
    if slots > 0 {
        let u = (U256::from_little_endian(seed) % U256::from(rest)).as_u128();
        for t in 0..slots {
            let mut c = 0;
            for (owner, score) in others {
                let end = c + score;
                if c * slots <= u + t * rest && u + t * rest < end * slots {
                    selected.push((owner.clone(), (t + 1) * rest / slots - t * rest / slots));
                }
                c = end;
            }
        }
    }
    ranked(selected)
}

/// Section 6.4. Of a finder who is not known the bonus is no dust.
fn split(selected: &Ranked<u128>, value: u64, finder: Option<&Vec<u8>>, bitcoin_height: u64) -> Paid {
    let dust = finder.map_or(0, |script| match script.len() {
        25 => 546,
        23 => 540,
        22 => 294,
        34 => 330,
        other => panic!("a script of {other} bytes"),
    });
    let bonus = Some(value * 50 / 10_000).filter(|bonus| *bonus >= dust).unwrap_or(0);
    let to_finder = finder.filter(|_| bonus > 0).map(|finder| (finder.clone(), bonus)).into_iter().collect();
    let (r, total) = (u128::from(value - bonus), sum(selected));
    if selected.is_empty() {
        // All is the finder's; the bonus too, whose output is not told where nobody is known.
        let outputs = finder.map(|finder| (finder.clone(), value - bonus)).into_iter().collect();
        let bonus = if finder.is_some() { bonus } else { value };
        return Paid { bitcoin_height, value, outputs, bonus, to_finder };
    }
    let mut paid: BTreeMap<Vec<u8>, u128> =
        selected.iter().map(|(owner, score)| (owner.clone(), score * r / total)).collect();
    let mut order = selected.clone();
    order.sort_by_key(|(owner, score)| (Reverse(score * r % total), owner.clone()));
    let left = usize::try_from(r - paid.values().sum::<u128>()).expect("less than entries");
    for (owner, _) in &order[..left] {
        *paid.get_mut(owner).expect("selected") += 1;
    }
    let outputs = paid.into_iter().filter(|(_, satoshis)| *satoshis > 0);
    let outputs = outputs.map(|(owner, satoshis)| (owner, u64::try_from(satoshis).expect("money"))).collect();
    Paid { bitcoin_height, value, outputs: ranked(outputs), bonus, to_finder }
}

fn ranked<T: Ord + Copy>(mut entries: Ranked<T>) -> Ranked<T> {
    entries.sort_by_key(|(owner, amount)| (Reverse(*amount), owner.clone()));
    entries
}

pub(crate) fn sum(entries: &Ranked<u128>) -> u128 {
    entries.iter().map(|(_, score)| score).sum()
}

/// Section 2, "target": floor(2^256 / (T + 1)).
fn work(bits: u32) -> U256 {
    let t = target(bits);
    if t == U256::MAX { U256::one() } else { !t / (t + 1) + 1 }
}

fn target(bits: u32) -> U256 {
    let (size, mantissa) = (bits >> 24, U256::from(bits & 0x7f_ffff));
    if size <= 3 { mantissa >> (8 * (3 - size)) } else { mantissa << (8 * (size - 3)) }
}

fn bits(form: &Value) -> u32 {
    u32::from_str_radix(form.as_str().expect("text"), 16).expect("hexadecimal digits")
}

fn bytes(form: &Value) -> Vec<u8> {
    Vec::from_hex(form.as_str().expect("text")).expect("hexadecimal digits")
}

/// A hash that is shown as Bitcoin shows hashes, in the order in which it is hashed.
fn shown(form: &Value) -> [u8; 32] {
    let mut hash: [u8; 32] = bytes(form).try_into().expect("32 bytes");
    hash.reverse();
    hash
}

/// Section 6.5.
#[test]
fn the_example_by_hand_comes_out() {
    let owner = |n: u8| [&[0, 20][..], &[n; 20]].concat();
    let entries: Ranked<u128> = (1..).map(owner).zip([40, 25, 20, 10, 5]).collect();
    let recount = Recount {
        params: serde_json::json!({
            "network": "regtest", "smallest_payout": 10_000, "classes": [2, 3], "window_blocks": 1,
        }),
        chain_id: bytes(&"9a3fc19e862949b7ae11dc7cee5486a6f3256371d89e375aff68001307ac2faa".into())
            .try_into()
            .expect("32 bytes"),
        headers: BTreeMap::new(),
        blocks: BTreeMap::new(),
        heights: BTreeMap::new(),
    };
    let height = 4 * 150;
    let of = |class| {
        let (selected, drew) = recount.selected(&entries, [4; 32], height, class);
        assert!(drew.iter().all(|drew| *drew));
        split(&selected, 313_500_001, Some(&owner(1)), height)
    };
    let large = of(3);
    assert_eq!((large.bonus, large.to_finder), (1_567_500, vec![(owner(1), 1_567_500)]));
    assert_eq!(large.outputs, [(owner(1), 124_773_001), (owner(3), 93_579_750), (owner(5), 93_579_750)]);
    assert_eq!(of(2).outputs, [(owner(1), 155_966_251), (owner(5), 155_966_250)]);
}
