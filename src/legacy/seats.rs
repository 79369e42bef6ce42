//! Places for connections: so many in all, and so many for one address, so that nobody keeps the others out.

use crate::stratum::knocks::of_one_owner;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use thiserror::Error;

/// Connections at a time.
const MAX_CONNECTIONS: usize = 1_024;
/// Those of one address.
const MAX_CONNECTIONS_PER_ADDRESS: usize = 128;

/// All places. Clones share them.
#[derive(Clone, Debug, Default)]
pub(super) struct Seats(Arc<Mutex<Taken>>);

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    by_address: HashMap<IpAddr, usize>,
}

/// A place, given back when dropped.
#[derive(Debug)]
pub(super) struct Seat {
    seats: Seats,
    address: Option<IpAddr>,
}

/// There is no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(super) enum Full {
    /// For anybody.
    #[error("{MAX_CONNECTIONS} connections are open already")]
    All,
    /// For this address.
    #[error("its address has {MAX_CONNECTIONS_PER_ADDRESS} connections already")]
    Address,
}

impl Seats {
    /// A place for a connection of this address, or of one that many share.
    pub(super) fn take(&self, address: Option<IpAddr>) -> Result<Seat, Full> {
        let address = address.map(|ip| of_one_owner(ip.to_canonical()));
        let mut taken = self.taken();
        if taken.all >= MAX_CONNECTIONS {
            return Err(Full::All);
        }
        if let Some(address) = address {
            let count = taken.by_address.entry(address).or_default();
            if *count >= MAX_CONNECTIONS_PER_ADDRESS {
                return Err(Full::Address);
            }
            *count += 1;
        }
        taken.all += 1;
        drop(taken);
        Ok(Seat { seats: self.clone(), address })
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.seats.taken();
        taken.all -= 1;
        let Some(address) = self.address else { return };
        if let Some(count) = taken.by_address.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                taken.by_address.remove(&address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_leaves_room_for_others_and_places_are_given_back() {
        let seats = Seats::default();
        let take = |ip: &str, count: usize| -> Vec<Seat> {
            let ip: IpAddr = ip.parse().expect("an address");
            (0..count).map_while(|_| seats.take(Some(ip)).ok()).collect()
        };
        let mut first = take("192.0.2.1", 2_000);
        assert_eq!(first.len(), MAX_CONNECTIONS_PER_ADDRESS);
        let ip = "::ffff:192.0.2.1".parse().expect("an address");
        assert_eq!(seats.take(Some(ip)).err(), Some(Full::Address));
        let network = [take("2001:db8::1", 100), take("2001:db8::2", 100)];
        assert_eq!(network.each_ref().map(Vec::len), [100, 28]);
        first.pop();
        first.extend(take("192.0.2.1", 2));
        assert_eq!(first.len(), MAX_CONNECTIONS_PER_ADDRESS);

        let shared: Vec<Seat> = (0..2_000).map_while(|_| seats.take(None).ok()).collect();
        assert_eq!(shared.len(), MAX_CONNECTIONS - 2 * MAX_CONNECTIONS_PER_ADDRESS);
        assert_eq!(seats.take(Some([192, 0, 2, 9].into())).err(), Some(Full::All));
        drop((first, network, shared));
        let taken = seats.taken();
        assert_eq!((taken.all, taken.by_address.len()), (0, 0));
    }
}
