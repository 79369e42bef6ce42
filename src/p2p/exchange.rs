//! Peer exchange: an empty question; the answer is a count, then for each address its length in two bytes and its bytes,
//! the peer's identity at its end.

use super::address::{MAX_ADDRESS, is_circuit, is_dialable, split_peer};
use libp2p::{Multiaddr, PeerId};

/// Most addresses of an answer.
pub(super) const MAX_TOLD: usize = 32;
/// Most bytes of an answer: every address at its longest, with its identity.
pub(super) const MAX_TOLD_BYTES: usize = 1 + MAX_TOLD * (2 + MAX_ADDRESS + 64);

/// An answer.
pub(super) fn encode(addresses: &[Multiaddr]) -> Vec<u8> {
    let told = &addresses[..addresses.len().min(MAX_TOLD)];
    let mut bytes = vec![told.len() as u8];
    for address in told {
        let text = address.to_vec();
        bytes.extend((text.len() as u16).to_be_bytes());
        bytes.extend(text);
    }
    bytes
}

/// Reads an answer; none if it is not exactly one. Addresses that nobody can dial are left out.
pub fn decode(bytes: &[u8]) -> Option<Vec<(PeerId, Multiaddr)>> {
    let (count, mut rest) = bytes.split_first()?;
    if usize::from(*count) > MAX_TOLD {
        return None;
    }
    let mut told = Vec::new();
    for _ in 0..*count {
        let (length, after) = rest.split_first_chunk::<2>()?;
        let (address, after) = after.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
        rest = after;
        let (address, peer) = split_peer(Multiaddr::try_from(address.to_vec()).ok()?);
        told.extend(
            peer.filter(|_| is_dialable(&address) || is_circuit(&address)).map(|peer| (peer, address)),
        );
    }
    rest.is_empty().then_some(told)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_written_is_read() {
        let peer = PeerId::random();
        let plain: Multiaddr = "/ip4/192.0.2.1/udp/5/quic-v1".parse().expect("an address");
        let named = plain.clone().with_p2p(peer).expect("no other peer in it");
        let bytes = encode(&[named.clone(), plain.clone()]);
        assert_eq!(decode(&bytes), Some(vec![(peer, plain)]), "an address without a peer is left out");
        assert_eq!(decode(&bytes[..bytes.len() - 1]), None);
        assert_eq!(decode(&[&bytes[..], &[0]].concat()), None);
        assert_eq!(decode(&[0]), Some(vec![]));
        assert_eq!(decode(&[]), None);
        let most = encode(&vec![named; 100]);
        assert!(most.len() <= MAX_TOLD_BYTES);
        assert_eq!(decode(&most).map(|told| told.len()), Some(MAX_TOLD));
    }

    proptest! {
        #[test]
        fn anything_may_come(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode(&bytes);
        }
    }
}
