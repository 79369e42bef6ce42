//! Catching up: from nothing, from a crash, from the middle; with others who stall, lie or leave.

use super::rig::{Want, altered};
use super::*;
use crate::peers::conduct::Fault;
use crate::peers::wire::{BlocksAnswer, IdsAnswer, TipAnswer};
use sharechain::chain::ShareChain;
use sharechain::codec::Encode;
use sharechain::target::Work;
use std::sync::LazyLock;

fn asked_of(net: &Net, asker: u64, of: u64, kind: fn(&Question) -> bool) -> usize {
    net.asked.iter().filter(|(by, peer, question)| (*by, *peer) == (asker, of) && kind(question)).count()
}

const fn is_blocks(question: &Question) -> bool {
    matches!(question, Question::Blocks { .. })
}

/// The newcomer has the chain of the rig and nobody's fault is noted.
fn assert_level(net: &mut Net, new: u64, rig: &Rig, honest: &[u64]) {
    assert_eq!(net.tip(new), rig.chain.tip(), "{:?}", net.at(new).notices);
    assert_eq!(net.standing(new), Some(Standing::Current));
    for peer in honest {
        assert_eq!(net.points(new, *peer), 0);
    }
}

#[test]
fn a_newcomer_takes_a_young_chain_from_its_beginning() {
    let rig = world(60);
    let mut net = Net::new();
    let (old, new) = (net.node(rig.fork()), net.node(rig.newcomer()));
    net.connect(new, old);
    net.run(seconds(10));
    assert_level(&mut net, new, &rig, &[old]);
    assert!(net.at(new).notices.contains(&Notice::Ready { alone: false }));
    assert_eq!(
        (net.noted[&(new, old)], net.noted[&(old, new)]),
        (60, 0),
        "where each stood when it was asked"
    );
    assert_eq!(net.points(old, new), 0);
    assert_eq!(net.height(new), Height(60));
}

/// ```text
/// common ──┬── 30 blocks: a
///          └── 20 blocks: b, which comes over
/// ```
#[test]
fn the_lighter_side_of_a_split_comes_over_and_its_shares_are_listed() {
    let mut left = world(20);
    let mut right = left.fork();
    grow(&mut left, 30);
    grow(&mut right, 20);
    let mut net = Net::new();
    let (a, b) = (net.node(left.fork()), net.node(right.fork()));
    net.connect(a, b);
    net.run(seconds(10));
    assert_level(&mut net, b, &left, &[a]);
    assert_level(&mut net, a, &left, &[b]);
    let pool = net.at(b).keeper.chain().shares();
    let late = |share: &&sharechain::verify::VerifiedShare| share.share().commitment.height > Height(30);
    assert!(left.chain.shares().iter().filter(late).all(|share| pool.get(&share.id()).is_some()));
    assert!(right.chain.shares().iter().filter(late).all(|share| pool.get(&share.id()).is_some()));
    assert!(right.chain.shares().iter().filter(late).count() > 10);
}

#[test]
fn a_tie_moves_nobody() {
    let mut left = world(10);
    let mut right = left.fork();
    grow(&mut left, 3);
    grow(&mut right, 3);
    let mut net = Net::new();
    let (a, b) = (net.node(left.fork()), net.node(right.fork()));
    net.connect(a, b);
    net.run(seconds(10));
    let heavier = net.tip(a) == net.tip(b);
    assert!(heavier || (net.tip(a) == left.chain.tip() && net.tip(b) == right.chain.tip()));
    assert_eq!((net.points(a, b), net.points(b, a)), (0, 0));
}

/// Longer than anybody keeps: its first blocks are gone.
static OLD: LazyLock<Rig> = LazyLock::new(|| {
    let mut rig = world(30);
    for _ in 0..10 {
        rig.bitcoin_block();
        grow(&mut rig, 40);
    }
    rig
});

/// The chain is longer than anybody keeps: it is taken from the middle.
#[test]
fn a_newcomer_takes_an_old_chain_from_the_middle() {
    let rig = &*OLD;
    let mut net = Net::new();
    let (a, b, new) = (net.node(twin(rig)), net.node(twin(rig)), net.node(rig.newcomer()));
    net.connect(new, a);
    net.connect(new, b);
    net.run(seconds(20));
    assert_level(&mut net, new, rig, &[a, b]);
    assert!(net.at(new).keeper.chain().block_at(Height(40)).is_none(), "from the middle");
    assert!(net.at(new).keeper.chain().graft().is_none(), "adopted");
    assert!(asked_of(&net, new, a, is_blocks) > 0 && asked_of(&net, new, b, is_blocks) > 0, "from both");
}

#[test]
fn a_chain_from_the_middle_goes_on_after_a_crash() {
    let rig = &*OLD;
    let mut net = Net::new();
    let (a, new) = (net.node(twin(rig)), net.node(rig.newcomer()));
    net.connect(new, a);
    let is_under_way = |net: &Net| {
        let graft = net.at(new).keeper.chain().graft();
        graft.and_then(|graft| graft.highest).is_some_and(|(height, _)| height > Height(200))
    };
    while !is_under_way(&net) {
        assert!(net.now < seconds(20), "it begins");
        net.run(Duration::from_millis(10));
    }
    net.disconnect(new, a);
    net.restart(new);
    let before = net.at(new).keeper.chain().len();
    assert!((100..300).contains(&before), "in the middle of it");
    net.asked.clear();
    net.connect(new, a);
    net.run(seconds(20));
    assert_level(&mut net, new, rig, &[a]);
    let blocks = net.asked.iter().filter_map(|(_, _, question)| match question {
        Question::Blocks { from, .. } => Some(*from),
        _ => None,
    });
    assert!(blocks.min() > Some(Height(200)), "nothing is fetched twice");
}

#[test]
fn who_stalls_is_replaced_and_not_banned() {
    let rig = world(200);
    let mut net = Net::new();
    let honest = net.node(rig.fork());
    let stalling =
        net.liar(
            rig.fork(),
            |question, truth| {
                if is_blocks(question) { Reply::Silence } else { Reply::Answer(truth) }
            },
        );
    let new = net.node(rig.newcomer());
    net.connect(new, stalling);
    net.connect(new, honest);
    net.run(seconds(30));
    assert_level(&mut net, new, &rig, &[honest]);
    assert!(asked_of(&net, new, stalling, is_blocks) > 0);
    net.run(seconds(25));
    let points = net.points(new, stalling);
    assert!((1..50).contains(&points), "{points}");
}

#[test]
fn who_leaves_is_replaced() {
    let rig = world(200);
    let mut net = Net::new();
    let (a, b, new) = (net.node(rig.fork()), net.node(rig.fork()), net.node(rig.newcomer()));
    net.connect(new, a);
    net.connect(new, b);
    while asked_of(&net, new, a, is_blocks) == 0 {
        net.run(Duration::from_millis(10));
    }
    net.disconnect(new, a);
    net.run(seconds(20));
    assert_level(&mut net, new, &rig, &[b]);
}

/// Each lie costs its teller, and the chain comes from the honest one.
#[test]
fn liars_are_found_out() {
    type Change = fn(&Question, Vec<u8>) -> Reply;
    let other_bodies: Change = |question, truth| match question {
        Question::Blocks { .. } => {
            let mut answer = BlocksAnswer::from_bytes(&truth).expect("canonical");
            answer.blocks.reverse();
            Reply::Answer(answer.to_bytes())
        }
        _ => Reply::Answer(truth),
    };
    let altered_bodies: Change = |question, truth| match question {
        Question::Blocks { .. } => {
            let mut answer = BlocksAnswer::from_bytes(&truth).expect("canonical");
            answer.blocks.iter_mut().for_each(|block| block[50] ^= 1);
            Reply::Answer(answer.to_bytes())
        }
        _ => Reply::Answer(truth),
    };
    let too_many: Change = |question, truth| match question {
        Question::Blocks { .. } => {
            let mut answer = BlocksAnswer::from_bytes(&truth).expect("canonical");
            answer.blocks.extend(answer.blocks.clone());
            Reply::Answer(answer.to_bytes())
        }
        _ => Reply::Answer(truth),
    };
    let garbage: Change = |question, truth| {
        if is_blocks(question) { Reply::Answer(vec![0xff; 100]) } else { Reply::Answer(truth) }
    };
    let too_long: Change = |question, truth| {
        if is_blocks(question) { Reply::Answer(vec![0; 4 << 20]) } else { Reply::Answer(truth) }
    };
    for (n, change) in [other_bodies, altered_bodies, too_many, garbage, too_long].into_iter().enumerate() {
        let rig = world(120);
        let mut net = Net::new();
        let liar = net.liar(rig.fork(), change);
        let (honest, new) = (net.node(rig.fork()), net.node(rig.newcomer()));
        net.connect(new, liar);
        net.connect(new, honest);
        net.run(seconds(20));
        assert_level(&mut net, new, &rig, &[honest]);
        let is_banned = net.bans.contains(&(new, liar));
        assert!(is_banned || net.points(new, liar) > 0, "lie {n}");
        assert!(!net.bans.contains(&(new, honest)));
    }
}

/// The liar claims more than it has; once that shows its claim is not believed again, and no honest peer pays for it.
#[test]
fn a_false_claim_costs_its_teller() {
    let rig = world(60);
    let mut net = Net::new();
    let liar = net.liar(rig.fork(), |question, truth| match question {
        Question::Tip => {
            let mut tip = TipAnswer::from_bytes(&truth).expect("canonical");
            tip.recent_work = Work(tip.recent_work.0 * 100);
            Reply::Answer(tip.to_bytes())
        }
        _ => Reply::Answer(truth),
    });
    let new = net.node(rig.newcomer());
    net.connect(new, liar);
    net.run(seconds(10));
    assert_eq!(net.tip(new), rig.chain.tip(), "what it had was good");
    assert!(net.points(new, liar) > Fault::FalseClaim.points() / 2);
    assert_eq!(net.standing(new), Some(Standing::Current));
}

/// Ids of blocks that are not there lead nowhere, and the honest peer's chain is taken afterwards.
#[test]
fn invented_ids_lead_nowhere() {
    let rig = world(60);
    let mut net = Net::new();
    let liar = net.liar(rig.fork(), |question, truth| match question {
        Question::Tip => {
            let mut tip = TipAnswer::from_bytes(&truth).expect("canonical");
            tip.recent_work = Work(tip.recent_work.0 * 2);
            tip.id.0[5] ^= 1;
            Reply::Answer(tip.to_bytes())
        }
        Question::Ids { .. } => {
            let mut answer = IdsAnswer::from_bytes(&truth).expect("canonical");
            answer.ids.iter_mut().skip(30).for_each(|id| id.0[5] ^= 1);
            Reply::Answer(answer.to_bytes())
        }
        _ => Reply::Answer(truth),
    });
    let (honest, new) = (net.node(rig.fork()), net.node(rig.newcomer()));
    net.connect(new, liar);
    net.connect(new, honest);
    net.run(seconds(90));
    assert_eq!(net.tip(new), rig.chain.tip());
    assert_eq!(net.points(new, honest), 0);
    assert!(!net.bans.contains(&(new, honest)));
}

/// A chain with an invalid block is given up with whoever claims it.
#[test]
fn an_invalid_chain_is_left_with_its_claimer() {
    let honest_rig = world(40);
    let mut forger = honest_rig.fork();
    // Its chain goes on by rules of its own: a Bitcoin height that its header does not have.
    let mined = forger.mine_next(1);
    let forged = altered(&forger, &mined, Want::Block, |commitment| {
        commitment.coinbase_value += 1;
    });
    let id = forger.bind(&forged.share).id();
    let body = sharechain::share::ShareBlock {
        share: std::sync::Arc::new(forged.share.clone()),
        listed: Vec::new(),
    }
    .to_bytes();
    let mut net = Net::new();
    let liar = net.liar(forger.fork(), move |question, truth| match question {
        Question::Tip => {
            let mut tip = TipAnswer::from_bytes(&truth).expect("canonical");
            tip.id = id;
            tip.height = tip.height.saturating_add(1);
            tip.work = Work(tip.work.0 + tip.work.0 / 30);
            tip.recent_work = Work(tip.recent_work.0 + tip.recent_work.0 / 30);
            Reply::Answer(tip.to_bytes())
        }
        Question::Ids { .. } => {
            let mut answer = IdsAnswer::from_bytes(&truth).expect("canonical");
            answer.ids.push(id);
            Reply::Answer(answer.to_bytes())
        }
        Question::Blocks { ids, .. } if ids.contains(&id) => {
            let mut answer = BlocksAnswer::from_bytes(&truth).expect("canonical");
            answer.blocks.push(body.clone());
            Reply::Answer(answer.to_bytes())
        }
        _ => Reply::Answer(truth),
    });
    let (honest, new) = (net.node(honest_rig.fork()), net.node(honest_rig.newcomer()));
    net.connect(new, honest);
    net.connect(new, liar);
    net.run(seconds(20));
    assert!(net.bans.contains(&(new, liar)));
    assert_level(&mut net, new, &honest_rig, &[honest]);
}

#[test]
fn a_bitcoin_header_that_only_peers_have_is_fetched_during_a_sync() {
    let mut rig = world(30);
    let bare = rig.newcomer();
    // A Bitcoin block that the newcomer's bitcoind never sees, since it lost a race.
    rig.bitcoin_block();
    grow(&mut rig, 20);
    let mut net = Net::new();
    let (old, new) = (net.node(rig.fork()), net.node(bare));
    net.connect(new, old);
    net.run(seconds(15));
    assert_level(&mut net, new, &rig, &[old]);
}

#[test]
fn gossip_waits_while_much_is_missing_and_is_made_up_for() {
    let mut rig = world(150);
    let mut net = Net::new();
    let (old, new) = (net.node(rig.fork()), net.node(rig.newcomer()));
    net.connect(new, old);
    for _ in 0..10 {
        let (block, _) = rig.extend(1);
        net.find(old, &block);
        net.run(Duration::from_millis(70));
    }
    net.run(seconds(15));
    assert_level(&mut net, new, &rig, &[old]);
    assert_eq!(net.points(old, new), 0);
}

/// The same chain and log, but a new process.
fn twin(rig: &Rig) -> Rig {
    let mut twin = rig.newcomer();
    let saved = rig.store.load().expect("memory");
    let (params, headers) = (rig.chain.params().clone(), rig.chain.headers().clone());
    twin.chain = ShareChain::load(params, headers, saved.blocks, saved.tip);
    twin.store = rig.store.clone();
    twin
}

/// The only one who has the chain, on a line so slow that answers mostly come too late: asked less and less, never banned,
/// and honest all the same.
#[test]
fn who_is_merely_slow_is_never_banned() {
    let rig = world(60);
    let mut net = Net::new();
    let mut asked = 0;
    let slow = net.liar(rig.fork(), move |question, truth| {
        if !is_blocks(question) {
            return Reply::Answer(truth);
        }
        asked += 1;
        // One of three in time.
        if asked % 3 == 0 { Reply::Answer(truth) } else { Reply::Silence }
    });
    let new = net.node(rig.newcomer());
    net.connect(new, slow);
    let mut most = 0;
    for _ in 0..360 {
        net.run(seconds(5));
        most = most.max(net.points(new, slow));
    }
    assert!(net.bans.is_empty() && most < 60, "{most}");
    assert_eq!(net.tip(new), rig.chain.tip(), "within half an hour");
}

/// Somebody who gives his ids ever so slowly does not keep the newcomer from the honest one for long.
#[test]
fn who_claims_and_dawdles_is_left() {
    let rig = world(60);
    let mut net = Net::new();
    let dawdler = net.liar(rig.fork(), |question, truth| match question {
        Question::Tip => {
            let mut tip = TipAnswer::from_bytes(&truth).expect("canonical");
            tip.recent_work = Work(tip.recent_work.0 * 2);
            tip.id.0[3] ^= 1;
            Reply::Answer(tip.to_bytes())
        }
        Question::Ids { .. } => Reply::Silence,
        _ => Reply::Answer(truth),
    });
    let (honest, new) = (net.node(rig.fork()), net.node(rig.newcomer()));
    net.connect(new, dawdler);
    net.connect(new, honest);
    net.run(seconds(40));
    assert_eq!(net.tip(new), rig.chain.tip());
    assert_eq!(net.points(new, honest), 0);
}
