use super::*;

const HOME: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
const AWAY: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2));

fn owner(session: u64) -> Owner {
    Owner {
        session: SessionId(session),
        user: "alice".to_owned(),
        password: Some(NtHash([1; 16])),
        desktop: DesktopName::new("web1").expect("valid"),
        address: HOME,
    }
}

fn alice(address: IpAddr) -> Comer<'static> {
    Comer {
        user: "ALICE",
        password: Some(NtHash([1; 16])),
        address,
    }
}

fn cookies() -> Arc<Cookies> {
    Arc::new(Cookies::new(Reconnect::default()))
}

fn refusal(cookies: &Cookies, proof: &ReconnectProof, comer: &Comer<'_>, now: Instant) -> Option<CookieRefusal> {
    cookies.redeem(proof, comer, now).err()
}

#[tokio::test]
async fn a_cookie_is_good_once_for_its_user_from_its_address() {
    let (cookies, now) = (cookies(), Instant::now());
    let (cookie, _hold) = cookies.issue(owner(1), [7; 16], now).expect("on");
    let proof = ReconnectProof::of(&cookie);
    let elsewhere = Some(CookieRefusal::Elsewhere(HOME));
    assert_eq!(refusal(&cookies, &proof, &alice(AWAY), now), elsewhere);
    let other = |user, password| Comer {
        user,
        password,
        address: HOME,
    };
    let bob = other("bob", Some(NtHash([1; 16])));
    assert_eq!(refusal(&cookies, &proof, &bob, now), Some(CookieRefusal::OtherUser));
    for changed in [Some(NtHash([2; 16])), None] {
        let comer = other("alice", changed);
        let expected = Some(CookieRefusal::PasswordChanged);
        assert_eq!(refusal(&cookies, &proof, &comer, now), expected, "{changed:?}");
    }
    let found = cookies.redeem(&proof, &alice(HOME), now).expect("its owner");
    assert_eq!((found.session, found.desktop.as_str()), (SessionId(1), "web1"));
    assert_eq!(refusal(&cookies, &proof, &alice(HOME), now), Some(CookieRefusal::Used));
}

#[tokio::test]
async fn a_cookie_leads_to_where_its_session_was_last() {
    let (cookies, now) = (cookies(), Instant::now());
    let [(one, _), (two, _)] = [1, 2].map(|session| {
        let (cookie, hold) = cookies.issue(owner(session), [7; 16], now).expect("on");
        (ReconnectProof::of(&cookie), hold.wait(now))
    });
    let serial = DesktopName::new("web1/serial0").expect("valid");
    cookies.follow(SessionId(1), &serial);
    let desktop = |proof| cookies.redeem(proof, &alice(HOME), now).expect("its owner").desktop;
    assert_eq!((desktop(&one), desktop(&two).as_str()), (serial, "web1"));
}

#[tokio::test]
async fn forged_and_foreign_cookies_are_refused_and_do_no_harm() {
    let (cookies, now) = (cookies(), Instant::now());
    let (cookie, _hold) = cookies.issue(owner(1), [7; 16], now).expect("on");
    let forged = ReconnectProof::of(&ReconnectCookie::new(cookie.id(), [8; 16]));
    assert_eq!(
        refusal(&cookies, &forged, &alice(HOME), now),
        Some(CookieRefusal::Forged)
    );
    let foreign = ReconnectProof::of(&ReconnectCookie::new(99, [7; 16]));
    assert_eq!(
        refusal(&cookies, &foreign, &alice(HOME), now),
        Some(CookieRefusal::Unknown)
    );
    assert!(cookies.redeem(&ReconnectProof::of(&cookie), &alice(HOME), now).is_ok());
}

#[tokio::test]
async fn a_lost_session_waits_for_a_while_and_one_that_ended_does_not() {
    let (cookies, now) = (cookies(), Instant::now());
    let within = Reconnect::default().within;
    let issue = |secret| cookies.issue(owner(1), [secret; 16], now).expect("on");
    let (ended, hold) = issue(1);
    drop(hold);
    let ended = ReconnectProof::of(&ended);
    assert_eq!(
        refusal(&cookies, &ended, &alice(HOME), now),
        Some(CookieRefusal::Unknown)
    );
    let (late, hold) = issue(2);
    hold.wait(now);
    let late = ReconnectProof::of(&late);
    let over = Some(CookieRefusal::Expired);
    assert_eq!(refusal(&cookies, &late, &alice(HOME), now + within), over);
    let in_time = now + within - Duration::from_millis(1);
    assert!(cookies.redeem(&late, &alice(HOME), in_time).is_ok());
}

#[tokio::test]
async fn waiting_cookies_are_bounded_and_those_of_living_sessions_stay() {
    let (cookies, now) = (cookies(), Instant::now());
    let (living, _hold) = cookies.issue(owner(0), [7; 16], now).expect("on");
    for count in 0..3 * WAITING {
        let at = now + Duration::from_millis(count as u64);
        let (_, hold) = cookies.issue(owner(1), [7; 16], at).expect("on");
        hold.wait(at);
    }
    assert!(cookies.table.lock().issued.len() <= WAITING + 2);
    assert!(cookies.redeem(&ReconnectProof::of(&living), &alice(HOME), now).is_ok());
}

#[tokio::test]
async fn rules_switch_it_off_or_let_clients_roam() {
    let now = Instant::now();
    let rules = |within, any_address| {
        Arc::new(Cookies::new(Reconnect {
            within: Duration::from_secs(within),
            any_address,
        }))
    };
    let off = rules(0, false);
    assert!(off.issue(owner(1), [7; 16], now).is_none());
    let proof = ReconnectProof::of(&ReconnectCookie::new(1, [7; 16]));
    assert_eq!(refusal(&off, &proof, &alice(HOME), now), Some(CookieRefusal::Off));
    let roaming = rules(300, true);
    let (cookie, _hold) = roaming.issue(owner(1), [7; 16], now).expect("on");
    assert!(roaming.redeem(&ReconnectProof::of(&cookie), &alice(AWAY), now).is_ok());
}
