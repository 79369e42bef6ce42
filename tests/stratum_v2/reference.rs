//! The reference implementation's own channels follow what the server says, and judge the same shares.

use super::{Channel, Client, Said, Setup, is_work, soon};
use crate::support::jobs::{JobMaker, target};
use bitcoin::Target as BitcoinTarget;
use channels_sv2::client::extended::ExtendedChannel;
use channels_sv2::client::share_accounting::ShareValidationResult;
use channels_sv2::client::standard::StandardChannel;
use channels_sv2::extranonce_manager::ExtranoncePrefix;
use parsers_sv2::MiningOwned;
use sharechain::verify::Targets;

/// Every hash is a share; a Bitcoin block is out of reach.
fn job(id: u32) -> JobMaker {
    let targets = Targets { network: target(30), block: target(30), share: target(-32) };
    JobMaker { id, targets, branch_len: 7, outputs: 40, ..JobMaker::default() }
}

fn hash(result: ShareValidationResult) -> [u8; 32] {
    match result {
        ShareValidationResult::Valid(hash) | ShareValidationResult::BlockFound(hash) => *hash.as_ref(),
    }
}

/// A channel of the reference implementation, of either kind.
enum Reference {
    Standard(StandardChannel),
    Extended(ExtendedChannel),
}

impl Reference {
    fn new(channel: &Channel) -> Self {
        let prefix = ExtranoncePrefix::from_wire(channel.prefix.clone()).expect("a prefix");
        let (user, target) = ("rig".to_owned(), BitcoinTarget::from_le_bytes(channel.target));
        if channel.rolled == 0 {
            let channel = StandardChannel::new(channel.id, user, prefix, target, 1.0, None);
            return Self::Standard(channel.expect("a channel"));
        }
        let rolled = u16::try_from(channel.rolled).expect("short");
        let channel = ExtendedChannel::new(channel.id, user, prefix, target, 1.0, true, rolled, None);
        Self::Extended(channel.expect("a channel"))
    }

    /// None of it may be refused.
    fn follow(&mut self, said: MiningOwned) {
        let told = |target: [u8; 32]| BitcoinTarget::from_le_bytes(target);
        match (self, said) {
            (Self::Standard(channel), MiningOwned::NewMiningJob(job)) => {
                channel.on_new_mining_job(job).expect("a job");
            }
            (Self::Standard(channel), MiningOwned::SetNewPrevHash(tip)) => {
                channel.on_set_new_prev_hash(tip).expect("a tip");
            }
            (Self::Standard(channel), MiningOwned::SetTarget(set)) => {
                channel.set_target(told(set.maximum_target.to_array())).expect("a target");
            }
            (Self::Extended(channel), MiningOwned::NewExtendedMiningJob(job)) => {
                channel.on_new_extended_mining_job(job).expect("a job");
            }
            (Self::Extended(channel), MiningOwned::SetNewPrevHash(tip)) => {
                channel.on_set_new_prev_hash(tip).expect("a tip");
            }
            (Self::Extended(channel), MiningOwned::SetTarget(set)) => {
                channel.set_target(told(set.maximum_target.to_array())).expect("a target");
            }
            (_, other) => panic!("{other:?}"),
        }
    }

    fn judge(&mut self, submit: &MiningOwned) -> [u8; 32] {
        hash(match (self, submit) {
            (Self::Standard(channel), MiningOwned::SubmitSharesStandard(share)) => {
                channel.validate_share(share.clone()).expect("valid")
            }
            (Self::Extended(channel), MiningOwned::SubmitSharesExtended(share)) => {
                channel.validate_share(share.clone()).expect("valid")
            }
            (_, other) => panic!("{other:?}"),
        })
    }
}

/// Reads on until all that the next job brings is there.
async fn until_job(client: &mut Client, channel: &mut Channel, reference: &mut Reference, has_tip: bool) {
    let (mut jobs, mut tips) = (0, 0);
    while jobs == 0 || (has_tip && tips == 0) {
        let said = client.hear().await;
        assert!(is_work(&said), "{said:?}");
        let Said::Mining(message) = &said else { panic!("{said:?}") };
        match message {
            MiningOwned::SetNewPrevHash(_) => tips += 1,
            MiningOwned::SetTarget(_) => {}
            _ => jobs += 1,
        }
        reference.follow(message.clone());
        channel.follow(said);
    }
}

#[tokio::test]
async fn the_reference_channels_judge_as_the_node_does() {
    for extended in [false, true] {
        let mut running = Setup::default().start();
        let mut client = running.client(u32::from(!extended)).await;
        // Opened before there is work, so that the reference hears all of it.
        let mut channel = client.open(extended, "rig").await;
        let mut reference = Reference::new(&channel);
        for id in 1..=6 {
            // Every second job is on another Bitcoin block.
            let prev_block = u8::try_from(id / 2).expect("small");
            running.publish(JobMaker { prev_block, ..job(id) });
            until_job(&mut client, &mut channel, &mut reference, id % 2 == 0 || id == 1).await;
            let solved = channel.solve(id * 100_000);
            assert_eq!(reference.judge(&solved.submit), solved.hash);
            client.say(solved.submit).await;
            let answer = client.hear().await;
            assert!(matches!(answer, Said::Mining(MiningOwned::SubmitSharesSuccess(_))), "{answer:?}");
            assert_eq!(soon(running.shares.recv()).await.expect("a share").id.0, solved.hash);
        }
        soon(running.stop()).await;
    }
}
