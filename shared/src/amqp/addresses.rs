//! Where the broker is: one address, or those of several nodes of one cluster, tried in turn.
//!
//! All of them are read at start, and every mistake is told at once. No error shows an address: whoever
//! forgets the scheme or an `@` would find the password in a log.

use lapin::uri::AMQPUri;

/// How an address looks.
const FORM: &str = "amqp://user:password@host:5672/%2f";
/// For whoever has one address and a comma in its password.
const HINT: &str = " (commas separate addresses, one inside of an address is written %2C)";

/// The addresses of one broker.
#[derive(Clone)]
pub(super) struct Addresses {
    first: AMQPUri,
    others: Vec<AMQPUri>,
}

/// Why addresses can't be used: every mistake, none with an address in it.
#[derive(Debug, thiserror::Error)]
#[error("AMQP_URL {}{}", .mistakes.join("; "), if *.several { HINT } else { "" })]
pub struct AddressesError {
    mistakes: Vec<String>,
    several: bool,
}

impl Addresses {
    /// Reads a list separated by commas. A comma in a password is written `%2C`.
    pub(super) fn parse(list: &str, heartbeat_s: u16) -> Result<Self, AddressesError> {
        let parts: Vec<&str> = list.split(',').map(str::trim).collect();
        let several = parts.len() > 1;
        let (mut addresses, mut mistakes): (Vec<AMQPUri>, _) = (Vec::new(), Vec::new());
        for (part, number) in parts.into_iter().zip(1..) {
            let mistake = match part.parse::<AMQPUri>() {
                Err(_shows_the_address) if part.is_empty() => Some("is empty".to_owned()),
                Err(_shows_the_address) => Some(format!("is not an AMQP address such as {FORM}")),
                Ok(address) => {
                    let elsewhere = addresses.first().is_some_and(|first| first.vhost != address.vhost);
                    addresses.push(address);
                    elsewhere.then(|| {
                        "has another virtual host than the first, and all are to be nodes of one cluster".to_owned()
                    })
                }
            };
            mistakes.extend(mistake.map(|is| if several { format!("address {number} {is}") } else { is }));
        }
        for address in &mut addresses {
            address.query.heartbeat = Some(heartbeat_s);
        }
        let mut addresses = addresses.into_iter();
        match addresses.next() {
            Some(first) if mistakes.is_empty() => Ok(Self { first, others: addresses.collect() }),
            _ => Err(AddressesError { mistakes, several }),
        }
    }

    /// The same, with frames of so many bytes at most, whatever the broker allows.
    pub(super) fn with_frames_of(mut self, bytes: u32) -> Self {
        for address in std::iter::once(&mut self.first).chain(&mut self.others) {
            address.query.frame_max = Some(bytes);
        }
        self
    }

    pub(super) fn count(&self) -> usize {
        1 + self.others.len()
    }

    /// The address whose turn it is, counting round and round.
    pub(super) fn at(&self, turn: usize) -> &AMQPUri {
        let other = (turn % self.count()).checked_sub(1).and_then(|other| self.others.get(other));
        other.unwrap_or(&self.first)
    }
}

/// An address without its credentials: `host:port`.
pub(super) fn place(address: &AMQPUri) -> String {
    format!("{}:{}", address.authority.host, address.authority.port)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mistakes(list: &str) -> String {
        Addresses::parse(list, 5).err().unwrap().to_string()
    }

    #[test]
    fn one_or_several_are_taken_in_turn() {
        let turns = |list: &str| {
            let addresses = Addresses::parse(list, 5).unwrap();
            (0..4).map(|turn| place(addresses.at(turn))).collect::<Vec<_>>()
        };
        assert_eq!(turns("amqp://a"), ["a:5672"; 4]);
        assert_eq!(turns("amqp://u:p@a:1/v, amqps://b/v ,amqp://c:3/v"), ["a:1", "b:5671", "c:3", "a:1"]);
    }

    #[test]
    fn commas_inside_are_encoded_and_the_heartbeat_is_ours() {
        let addresses = Addresses::parse("amqp://u:p%2C1@a/%2f,amqp://u:p%2C2@b/%2f?heartbeat=0", 7).unwrap();
        let passwords = [0, 1].map(|turn| addresses.at(turn).authority.userinfo.password.clone());
        assert_eq!(passwords, ["p,1", "p,2"]);
        assert_eq!([0, 1].map(|turn| addresses.at(turn).query.heartbeat), [Some(7); 2]);
    }

    #[test]
    fn every_mistake_is_told_and_no_address() {
        insta::assert_snapshot!(mistakes("hush"), @"AMQP_URL is not an AMQP address such as amqp://user:password@host:5672/%2f");
        insta::assert_snapshot!(mistakes(""), @"AMQP_URL is empty");
        let told = mistakes(
            "amqp://u:hush,more@a/%2f,http://u:hush@b,amqp://u:hush@c/%2f,,amqp://u:hush@d/other,amqp://u:hush@e:99999",
        );
        assert!(!told.contains("hush") && !told.contains("more"), "{told}");
        insta::assert_snapshot!(told.replace("; ", "\n"), @r"
        AMQP_URL address 1 is not an AMQP address such as amqp://user:password@host:5672/%2f
        address 2 is not an AMQP address such as amqp://user:password@host:5672/%2f
        address 3 is not an AMQP address such as amqp://user:password@host:5672/%2f
        address 5 is empty
        address 6 has another virtual host than the first, and all are to be nodes of one cluster
        address 7 is not an AMQP address such as amqp://user:password@host:5672/%2f (commas separate addresses, one inside of an address is written %2C)
        ");
    }
}
