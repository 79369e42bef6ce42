//! Solo mining over Stratum V2, on a real bitcoind.

use super::{Channel, Client, Said};
use crate::node::solo::{Solo, address};
use parsers_sv2::MiningOwned;
use sharechain::share::ShareId;

#[tokio::test(flavor = "multi_thread")]
async fn a_block_over_either_kind_of_channel_pays_its_finder_alone() {
    let solo = Solo::start(&[]);
    let status = solo.status();
    let server = status["miners"]["stratum_v2"][0].as_str().expect("an address").parse().expect("an address");
    let mut last = None;
    for (extended, n) in [(false, 3), (true, 4)] {
        let mut client = Client::connect(server, None).await.expect("connected");
        client.set_up(0).await;
        let user = format!("{}.rig", address(n));
        let mut channel = if extended { client.extended(&user).await } else { client.standard(&user).await };
        // The job of before would give a block beside the last one.
        let is_on = |channel: &Channel, last: &[u8; 32]| {
            channel.tip.as_ref().is_some_and(|tip| tip.prev_hash.as_bytes() == last)
        };
        while last.is_some_and(|last| !is_on(&channel, &last)) {
            let said = client.hear().await;
            assert!(channel.follow(said).is_none());
        }
        // Two zero bits: enough for regtest's Bitcoin blocks.
        channel.target[31] = 0x3f;
        let solved = channel.solve(0);
        client.say(solved.submit).await;
        let said = channel.answer(&mut client).await;
        assert!(matches!(said, Said::Mining(MiningOwned::SubmitSharesSuccess(_))), "{said:?}");
        let paid = solo.paid_by(&ShareId(solved.hash).to_string());
        assert_eq!(paid, [(address(n), 5_000_000_000)]);
        last = Some(solved.hash);
    }
}
