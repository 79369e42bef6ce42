//! What the chain's answer means for a gossiped message: the one place where refusals become verdicts.

use crate::chain::Taken;
use sharechain::error::{Blame, Missing, Refusal};

/// What becomes of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ruling {
    /// It is handed on.
    Accept,
    /// It is not, and nobody is to blame.
    Ignore,
    /// It is not, and whoever handed it on is to blame.
    Reject,
    /// It can be judged when this is there.
    Wait(Missing),
}

/// Rules on a share, or on a block when it was offered as one.
pub(super) fn ruling(result: &Result<Taken, Refusal>, is_block: bool) -> Ruling {
    match result {
        Ok(taken) if !is_block || taken.block.is_some() => Ruling::Accept,
        // Its share is in the pool now, and the block is what the message is about.
        Ok(taken) => taken.not_a_block.as_ref().map_or(Ruling::Ignore, of_refusal),
        Err(refusal) => of_refusal(refusal),
    }
}

fn of_refusal(refusal: &Refusal) -> Ruling {
    match (refusal, refusal.blame()) {
        (Refusal::Waits(missing), _) => Ruling::Wait(missing.clone()),
        (_, Blame::Sender) => Ruling::Reject,
        (_, Blame::Nobody) => Ruling::Ignore,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bitcoin::BlockHash;
    use bitcoin::hashes::Hash;
    use sharechain::bitcoin_headers::ContextError;
    use sharechain::error::{InvalidBlock, InvalidShare};
    use sharechain::share::ShareId;
    use sharechain::units::{Height, Score, UnixTime};

    #[test]
    fn every_refusal_and_whom_it_costs() {
        let id = ShareId([1; 32]);
        let waits = [
            Missing::Base(id),
            Missing::Parent(id),
            Missing::PrevBlock(BlockHash::all_zeros()),
            Missing::Share(id),
            Missing::Time(UnixTime(1)),
            Missing::Version(2),
        ];
        for missing in waits {
            let refusal = Err(Refusal::Waits(missing.clone()));
            assert_eq!(ruling(&refusal, true), Ruling::Wait(missing));
        }
        let honest = [Refusal::Known, Refusal::Behind, Refusal::FarAhead];
        for refusal in honest {
            assert_eq!(ruling(&Err(refusal), false), Ruling::Ignore);
        }
        let broken = [
            Refusal::KnownInvalid,
            Refusal::Share(InvalidShare::ShareTarget),
            Refusal::Share(InvalidShare::Height(Height(1))),
            Refusal::Share(InvalidShare::Bitcoin(ContextError::BeforeFirst)),
            Refusal::Share(InvalidShare::BitcoinHeight { claimed: 1, actual: 2 }),
            Refusal::Share(InvalidShare::HeaderTime),
            Refusal::Share(InvalidShare::Coinbase),
            Refusal::Block(InvalidBlock::Base),
            Refusal::Block(InvalidBlock::Stale),
            Refusal::Block(InvalidBlock::Includes),
        ];
        for refusal in broken {
            assert_eq!(ruling(&Err(refusal), true), Ruling::Reject);
        }
    }

    #[test]
    fn a_block_that_is_only_a_share_is_ruled_on_as_a_block() {
        let share = |not_a_block| Taken { share: Some(Score::ONE), not_a_block, ..Taken::default() };
        assert_eq!(ruling(&Ok(share(None)), false), Ruling::Accept);
        let waits = Refusal::Waits(Missing::Parent(ShareId([1; 32])));
        assert_eq!(ruling(&Ok(share(Some(waits.clone()))), false), Ruling::Accept);
        assert_eq!(ruling(&Ok(share(Some(waits))), true), Ruling::Wait(Missing::Parent(ShareId([1; 32]))));
        let forged = Refusal::Block(InvalidBlock::Includes);
        assert_eq!(ruling(&Ok(share(Some(forged))), true), Ruling::Reject);
        assert_eq!(ruling(&Ok(share(Some(Refusal::Behind))), true), Ruling::Ignore);
        let block = Taken { block: Some(Height(1)), ..Taken::default() };
        assert_eq!(ruling(&Ok(block), true), Ruling::Accept);
    }
}
