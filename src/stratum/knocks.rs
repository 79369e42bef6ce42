//! How often one address may connect: a bucket of knocks for each, refilled by time. Pure: time is an argument.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Instant;

/// Connections of one address in a row, and each second. A farm behind one address comes back within a minute after an
/// outage.
const AT_ONCE: f64 = 50.0;
const A_SECOND: f64 = 10.0;
/// Addresses that are watched at a time.
const MOST_ADDRESSES: usize = 4_096;

/// The addresses that connected lately.
#[derive(Debug, Default)]
pub(super) struct Knocks(HashMap<IpAddr, Bucket>);

#[derive(Clone, Copy, Debug)]
struct Bucket {
    left: f64,
    at: Instant,
}

impl Bucket {
    fn left(&self, now: Instant) -> f64 {
        let refilled = now.saturating_duration_since(self.at).as_secs_f64() * A_SECOND;
        (self.left + refilled).min(AT_ONCE)
    }
}

impl Knocks {
    /// Whether this address may connect now. Programs on this machine always may.
    pub(super) fn admit(&mut self, ip: IpAddr, now: Instant) -> bool {
        let ip = of_one_owner(ip.to_canonical());
        if ip.is_loopback() {
            return true;
        }
        if self.0.len() >= MOST_ADDRESSES && !self.0.contains_key(&ip) {
            self.0.retain(|_, bucket| bucket.left(now) < AT_ONCE);
            // So many addresses at once are not one device gone wild, and there is a limit to all connections.
            if self.0.len() >= MOST_ADDRESSES {
                return true;
            }
        }
        let bucket = self.0.entry(ip).or_insert(Bucket { left: AT_ONCE, at: now });
        let left = bucket.left(now);
        let admitted = left >= 1.0;
        *bucket = Bucket { left: if admitted { left - 1.0 } else { left }, at: now };
        admitted
    }
}

/// Whoever has one IPv6 address has the 2^64 of its network too.
pub(crate) fn of_one_owner(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V6(ip) if !ip.is_loopback() => {
            let [a, b, c, d, ..] = ip.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        ip => ip,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;
    use std::time::Duration;

    #[test]
    fn fifty_at_once_and_ten_a_second() {
        let (mut knocks, start) = (Knocks::default(), Instant::now());
        let farm = IpAddr::from([192, 0, 2, 7]);
        let admitted = |knocks: &mut Knocks, ip, at| (0..200).filter(|_| knocks.admit(ip, at)).count();
        assert_eq!(admitted(&mut knocks, farm, start), 50);
        assert_eq!(admitted(&mut knocks, farm, start + Duration::from_secs(1)), 10);
        assert_eq!(admitted(&mut knocks, farm, start + Duration::from_secs(60)), 50);
        assert!(knocks.admit([192, 0, 2, 8].into(), start), "others are undisturbed");
        assert_eq!(admitted(&mut knocks, Ipv4Addr::LOCALHOST.into(), start), 200);
        assert_eq!(admitted(&mut knocks, Ipv6Addr::LOCALHOST.into(), start), 200);
        let mapped: IpAddr = "::ffff:192.0.2.8".parse().expect("an address");
        assert_eq!(admitted(&mut knocks, mapped, start), 49);
        assert_eq!(admitted(&mut knocks, "2001:db8::1".parse().expect("an address"), start), 50);
        assert_eq!(admitted(&mut knocks, "2001:db8::ffff:2".parse().expect("an address"), start), 0);
    }

    #[test]
    fn the_addresses_are_bounded_and_the_quiet_ones_forgotten() {
        let (mut knocks, start) = (Knocks::default(), Instant::now());
        let ip = |n: u32| IpAddr::from(Ipv4Addr::from(0x0a00_0000 | n));
        assert!((0..10_000).all(|n| knocks.admit(ip(n), start)));
        assert_eq!(knocks.0.len(), MOST_ADDRESSES);
        assert!(knocks.admit(ip(20_000), start + Duration::from_secs(10)));
        assert_eq!(knocks.0.len(), 1);
    }
}
