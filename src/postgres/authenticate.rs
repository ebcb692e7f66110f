//! The login, done here so that no password comes to the driver, and so that what libpq
//! takes for a password is one.

use bytes::{Buf, BytesMut};
use postgres_protocol::authentication::md5_hash;
use postgres_protocol::authentication::sasl::{
    ChannelBinding, SCRAM_SHA_256, SCRAM_SHA_256_PLUS, ScramSha256,
};
use postgres_protocol::message::frontend;
use tokio::io::AsyncWriteExt;

use super::Secret;
use super::fault::{Fault, MAX_ITERATIONS};
use super::methods::{Binding, Method, Methods};
use super::wire::{self, Frame, Stream, Violation};

/// The state of one login.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub(super) struct Login<'a> {
    pub(super) user: &'a str,
    pub(super) password: Option<&'a Secret>,
    pub(super) binding: Binding,
    pub(super) methods: &'a Methods,
    /// The hash of the server's certificate, over TLS.
    pub(super) end_point: Option<Vec<u8>>,
    pub(super) is_encrypted: bool,
    /// Set when a password was asked for and sent.
    pub(super) has_answered: bool,
    scram: Option<ScramSha256>,
    is_bound: bool,
    asked: Method,
    is_proven: bool,
}

impl<'a> Login<'a> {
    pub(super) fn new(
        user: &'a str,
        password: Option<&'a Secret>,
        binding: Binding,
        methods: &'a Methods,
    ) -> Self {
        Self {
            user,
            password,
            binding,
            methods,
            end_point: None,
            is_encrypted: false,
            has_answered: false,
            scram: None,
            is_bound: false,
            asked: Method::None,
            is_proven: false,
        }
    }

    /// Answers one request for authentication. True when the server is content.
    pub(super) async fn answer(
        &mut self,
        stream: &mut dyn Stream,
        frame: &Frame,
    ) -> Result<bool, Fault> {
        let mut body = frame.body();
        let broken = |_| Violation::Broken(b'R');
        let mut reply = BytesMut::new();
        match body.try_get_i32().map_err(broken)? {
            0 => {
                self.check_end()?;
                return Ok(true);
            }
            3 => {
                self.ask(Method::Password)?;
                frontend::password_message(self.password()?, &mut reply)?;
            }
            5 => {
                self.ask(Method::Md5)?;
                let salt = body.try_get_u32().map_err(broken)?.to_be_bytes();
                let hash = md5_hash(self.user.as_bytes(), self.password()?, salt);
                frontend::password_message(hash.as_bytes(), &mut reply)?;
            }
            10 => {
                self.ask(Method::Scram)?;
                self.begin_scram(body, &mut reply)?;
            }
            11 => {
                let scram = self.scram.as_mut().ok_or(Violation::Broken(b'R'))?;
                if let Some(iterations) = iterations(body).filter(|count| *count > MAX_ITERATIONS) {
                    return Err(Fault::Iterations(iterations));
                }
                scram.update(body).map_err(Fault::Scram)?;
                frontend::sasl_response(scram.message(), &mut reply)?;
            }
            12 => {
                let mut scram = self.scram.take().ok_or(Violation::Broken(b'R'))?;
                scram.finish(body).map_err(Fault::Scram)?;
                self.is_proven = true;
            }
            7..=9 => return Err(Fault::Unsupported("GSSAPI or SSPI")),
            _ => return Err(Fault::Unsupported("a way that is unknown here")),
        }
        if !reply.is_empty() {
            self.has_answered = true;
            stream.write_all(&reply).await?;
            stream.flush().await?;
        }
        Ok(false)
    }

    /// A server may ask one way, and once.
    fn ask(&mut self, method: Method) -> Result<(), Fault> {
        if self.asked != Method::None {
            return Err(Violation::Broken(b'R').into());
        }
        self.methods.check(method).map_err(Fault::Method)?;
        if self.binding == Binding::Require && method != Method::Scram {
            return Err(Fault::Unbound("the server does not ask for SCRAM"));
        }
        self.asked = method;
        Ok(())
    }

    fn check_end(&self) -> Result<(), Fault> {
        if self.asked == Method::Scram && !self.is_proven {
            return Err(Fault::Unproven);
        }
        if self.binding == Binding::Require && !self.is_bound {
            return Err(Fault::Unbound("the server asked for no password"));
        }
        self.methods.check(self.asked).map_err(Fault::Method)
    }

    fn password(&self) -> Result<&'a [u8], Fault> {
        let password = self.password.map(|password| password.reveal().as_bytes());
        password.filter(|password| !password.is_empty()).ok_or(Fault::NoPassword)
    }

    fn begin_scram(&mut self, mut offered: &[u8], reply: &mut BytesMut) -> Result<(), Fault> {
        let mut plain = false;
        let mut plus = false;
        while let Some(name) = wire::text(&mut offered).filter(|name| !name.is_empty()) {
            plain |= name == SCRAM_SHA_256.as_bytes();
            plus |= name == SCRAM_SHA_256_PLUS.as_bytes();
        }
        let wanted = self.end_point.clone().filter(|_| self.binding != Binding::Disable);
        let (mechanism, binding) = match wanted {
            Some(hash) if plus => {
                self.is_bound = true;
                (SCRAM_SHA_256_PLUS, ChannelBinding::tls_server_end_point(hash))
            }
            _ if self.binding == Binding::Require => {
                let reason = if self.is_encrypted {
                    "the server does not offer it"
                } else {
                    "the connection has no TLS"
                };
                return Err(Fault::Unbound(reason));
            }
            _ if !plain => {
                return Err(Fault::Unsupported("a kind of SASL other than SCRAM-SHA-256"));
            }
            Some(_) => (SCRAM_SHA_256, ChannelBinding::unrequested()),
            None => (SCRAM_SHA_256, ChannelBinding::unsupported()),
        };
        let scram = ScramSha256::new(self.password()?, binding);
        frontend::sasl_initial_response(mechanism, scram.message(), reply)?;
        self.scram = Some(scram);
        Ok(())
    }
}

/// The number of steps by which the server keeps the password, as its first message has it.
fn iterations(message: &[u8]) -> Option<u64> {
    let message = std::str::from_utf8(message).ok()?;
    message.split(',').find_map(|part| part.strip_prefix("i="))?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_steps_is_in_the_servers_first_message() {
        assert_eq!(iterations(b"r=abc,s=i=4/==,i=4096"), Some(4096));
        assert_eq!(iterations(b"r=abc,s=def"), None);
        assert_eq!(iterations(b"\xff,i=1"), None);
    }
}
