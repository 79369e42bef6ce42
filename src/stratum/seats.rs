//! Seats of which there are so many, and for one address a part of them: whoever has one address cannot keep all others
//! out.

use super::visitor::Visitor;
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use thiserror::Error;
use tracing::{debug, warn};

/// One address gets at most every fourth seat.
const MOST_FOR_ONE: usize = 4;

/// The seats. Clones share them.
#[derive(Clone, Debug)]
pub struct Seats(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    most: usize,
    /// Most for one address.
    part: usize,
    taken: usize,
    /// Of each address that is bound to its part.
    of_address: HashMap<IpAddr, Part>,
}

/// What one address has of them.
#[derive(Debug, Default)]
struct Part {
    taken: usize,
    /// Whether the owner of this node was told that it wants more.
    is_told: bool,
}

/// One of them, given back when dropped.
#[derive(Debug)]
pub struct Seat {
    seats: Seats,
    address: Option<IpAddr>,
}

/// There is no seat to be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum NoSeat {
    /// For anybody.
    #[error("{0} are connected already")]
    AllTaken(usize),
    /// For this address.
    #[error("{taken} are connected from its address already")]
    PartTaken {
        /// How many it has.
        taken: usize,
        /// Whether it wants another for the first time since it came.
        is_first: bool,
    },
}

impl NoSeat {
    /// Writes it to the log, loudly only where it is not one address's fault: of those the owner was told once.
    pub(crate) fn log(self, remote: SocketAddr) {
        match self {
            Self::AllTaken(_) => warn!(%remote, "miner refused: {self}"),
            Self::PartTaken { .. } => debug!(%remote, "miner refused: {self}"),
        }
    }

    /// Tells the owner what to do for an address that has no more room, once.
    fn tell_once(self, remote: SocketAddr) {
        if let Self::PartTaken { is_first: true, .. } = self {
            warn!(
                address = %remote.ip(),
                "miners refused: {self}, which is all that one address gets; others that are refused for it are only \
                 in the log for debugging. A farm of more devices can connect through a Stratum V2 proxy, or through a \
                 proxy that says for whom it connects (--proxy-protocol-from). Connections that a restarted router has \
                 forgotten make room within two minutes"
            );
        }
    }
}

impl Seats {
    /// So many, all free.
    pub fn new(most: usize) -> Self {
        let part = most.div_ceil(MOST_FOR_ONE);
        Self(Arc::new(Mutex::new(State { most, part, taken: 0, of_address: HashMap::new() })))
    }

    /// A seat, if there is one for this visitor.
    pub fn take(&self, visitor: &Visitor) -> Result<Seat, NoSeat> {
        let address = visitor.bound_to();
        let taken = self.state().take(address);
        taken.inspect_err(|none| none.tell_once(visitor.remote))?;
        Ok(Seat { seats: self.clone(), address })
    }

    /// How many are taken.
    pub fn taken(&self) -> usize {
        self.state().taken
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn take(&mut self, address: Option<IpAddr>) -> Result<(), NoSeat> {
        let Self { most, part, taken, of_address } = self;
        if taken >= most {
            return Err(NoSeat::AllTaken(*taken));
        }
        if let Some(address) = address {
            let of_it = of_address.entry(address).or_default();
            if of_it.taken >= *part {
                let is_first = !std::mem::replace(&mut of_it.is_told, true);
                return Err(NoSeat::PartTaken { taken: of_it.taken, is_first });
            }
            of_it.taken += 1;
        }
        *taken += 1;
        Ok(())
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut state = self.seats.state();
        state.taken -= 1;
        if let Some(address) = self.address
            && let Some(of_it) = state.of_address.get_mut(&address)
        {
            of_it.taken -= 1;
            if of_it.taken == 0 {
                state.of_address.remove(&address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stratum::visitor::Protocol;
    use std::time::Instant;

    fn from(ip: &str) -> Visitor {
        let remote = SocketAddr::new(ip.parse().expect("an address"), 1);
        Visitor::new(remote, Protocol::Stratum, Instant::now())
    }

    fn take_all(seats: &Seats, visitor: &Visitor) -> (Vec<Seat>, NoSeat) {
        let mut taken = Vec::new();
        loop {
            match seats.take(visitor) {
                Ok(seat) => taken.push(seat),
                Err(none) => return (taken, none),
            }
        }
    }

    #[test]
    fn one_address_gets_every_fourth_seat_and_the_others_theirs() {
        let seats = Seats::new(10);
        let (first, none) = take_all(&seats, &from("192.0.2.1"));
        assert_eq!((first.len(), none), (3, NoSeat::PartTaken { taken: 3, is_first: true }));
        assert_eq!(take_all(&seats, &from("::ffff:192.0.2.1")).0.len(), 0, "the same address");
        let (second, _) = take_all(&seats, &from("2001:db8::1"));
        assert_eq!(second.len(), 3);
        assert_eq!(take_all(&seats, &from("2001:db8::2")).0.len(), 0, "of the same network");
        let (here, none) = take_all(&seats, &from("127.0.0.1"));
        assert_eq!((here.len(), none), (4, NoSeat::AllTaken(10)), "programs on this machine get all");
        assert_eq!(seats.taken(), 10);
        drop(first);
        assert_eq!(take_all(&seats, &from("192.0.2.2")).0.len(), 3);
        drop((second, here));
        assert_eq!(seats.taken(), 0);
        assert!(seats.state().of_address.is_empty(), "nobody is remembered");
    }

    #[test]
    fn the_owner_is_told_once_of_an_address_that_wants_more_until_it_has_left() {
        let seats = Seats::new(4);
        let is_told = |ip: &str| match take_all(&seats, &from(ip)) {
            (seats, NoSeat::PartTaken { is_first, .. }) => (seats, is_first),
            (_, other) => panic!("{other:?}"),
        };
        let (farm, first) = is_told("192.0.2.1");
        assert_eq!((farm.len(), first), (1, true));
        assert!(!is_told("192.0.2.1").1 && !is_told("192.0.2.1").1);
        let (_other, first) = is_told("192.0.2.2");
        assert!(first, "of each");
        drop(farm);
        assert!(is_told("192.0.2.1").1, "it came anew");
    }

    #[test]
    fn a_proxy_that_does_not_say_for_whom_it_connects_gets_all() {
        let seats = Seats::new(10);
        let proxy = Visitor { stands_for_many: true, ..from("192.0.2.1") };
        assert_eq!(take_all(&seats, &proxy).0.len(), 10);
    }
}
