//! Which wallet a file belongs to, by its path: the id of a browser's extension, the name of an app's package or bundle.

/// Parts of paths, and the wallets they are of. Ids of extensions are those of the Chrome Web Store and of Edge's (MetaMask); package and
/// bundle names those of the app stores.
const APPS: &[(&str, &str)] = &[
    ("nkbihfbeogaeaoehlefnkodbefgpgknn", "MetaMask"),
    ("ejbalbakoplchlghecdalmeeeajnimhm", "MetaMask"),
    ("ibnejdfjmmkpcnlpebklmnkoeoihofec", "TronLink"),
    ("bfnaelmomeimhlpmgjnjophhpkkoljpa", "Phantom"),
    ("egjidjbpglichdcondbcbdnbeeppgdph", "Trust Wallet"),
    ("fhbohimaelbohpjbbldcngcnapndodjp", "Binance Wallet"),
    ("cadiboklkpojfamcoggejbbdjcoiljjk", "Binance Wallet"),
    ("mcohilncbfahbmgdjkbpemcciiolgcge", "OKX Wallet"),
    ("fnjhmkhhmkbjkkabndcnnogagogbneec", "Ronin Wallet"),
    ("hnfanknocfeofbddgcijnmhnfnkdnaad", "Coinbase Wallet"),
    ("acmacodkjbdgmoleebolmdjonilkdbch", "Rabby"),
    ("dmkamcknogkgcdfhhbddcghachkejeap", "Keplr"),
    ("mfgccjchihfkkindfppnaooecgfneiii", "TokenPocket"),
    ("jiidiaalihmmhddjgbnbgdfflelocpak", "Bitget Wallet"),
    ("lgmpcpglpngdoalbgeoldeajfclnhafa", "SafePal"),
    ("aholpfdialjgjfhomihkjbmgjidlcdno", "Exodus"),
    ("aeachknmefphepccionboohckonoeemg", "Coin98"),
    ("bhhhlbepdkbapadjdnnojkbgioiodbic", "Solflare"),
    ("omaabbefbmiijedngplfjmnooppbclkk", "Tonkeeper"),
    ("io.metamask", "MetaMask"),
    ("com.wallet.crypto.trustapp", "Trust Wallet"),
    ("com.sixdays.trust", "Trust Wallet"),
    ("im.token.app", "imToken"),
    ("com.tronlinkpro.wallet", "TronLink"),
    ("com.tronlink.hdwallet", "TronLink"),
    ("vip.mytokenpocket", "TokenPocket"),
    ("com.tokenbank.", "TokenPocket"),
    ("io.safepal.wallet", "SafePal"),
    ("com.okinc.okex", "OKX"),
    ("com.okx.wallet", "OKX Wallet"),
    ("com.binance.dev", "Binance"),
    ("com.czzhao.binance", "Binance"),
    ("app.phantom", "Phantom"),
    ("org.toshi", "Coinbase Wallet"),
    ("exodusmovement.exodus", "Exodus"),
    ("com.bitkeep.wallet", "Bitget Wallet"),
    ("com.coinomi.wallet", "Coinomi"),
    ("com.debank.rabbymobile", "Rabby"),
    ("com.skymavis.genesis", "Ronin Wallet"),
    ("com.ton_keeper", "Tonkeeper"),
    ("com.uniswap.mobile", "Uniswap Wallet"),
];

/// The wallet that a path belongs to.
pub fn named(path: &str) -> Option<&'static str> {
    APPS.iter().find(|(part, _)| path.contains(part)).map(|(_, app)| *app)
}

/// The app that a path belongs to: a wallet's name, or the package, bundle or extension that it names.
pub fn of_path(path: &str) -> Option<String> {
    if let Some(app) = named(path) {
        return Some(app.to_owned());
    }
    let steps: Vec<&str> = path.split('/').collect();
    let dotted = |step: &&str| step.matches('.').count() >= 2 && !step.starts_with('.') && !step.contains(' ');
    // Android's `data/data/PACKAGE` and `data/user/0/PACKAGE`; an iOS backup's `AppDomain-BUNDLE`.
    let domain = steps.iter().find_map(|step| step.strip_prefix("AppDomain-").or_else(|| step.strip_prefix("AppDomainGroup-")));
    let package = steps.windows(2).find_map(|pair| match pair {
        ["data" | "0", package] if dotted(package) => Some(*package),
        _ => None,
    });
    // `Preferences/BUNDLE.plist`, and `Local Extension Settings/ID`.
    let named = steps.windows(2).find_map(|pair| match pair {
        ["Preferences", file] => file.strip_suffix(".plist").filter(dotted),
        ["Local Extension Settings", id] => Some(*id),
        _ => None,
    });
    domain.or(package).or(named).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn apps_by_path() {
        for (path, app) in [
            ("C/Local Extension Settings/ibnejdfjmmkpcnlpebklmnkoeoihofec/000003.log", Some("TronLink")),
            ("C/Local Extension Settings/abcdefghijklmnopabcdefghijklmnop/000003.log", Some("abcdefghijklmnopabcdefghijklmnop")),
            ("data/data/com.wallet.crypto.trustapp/shared_prefs/a.xml", Some("Trust Wallet")),
            ("data/user/0/org.example.coins/files/mmkv/main", Some("org.example.coins")),
            ("AppDomain-com.example.w/Library/Preferences/com.example.w.plist", Some("com.example.w")),
            ("Library/Preferences/com.example.w.plist", Some("com.example.w")),
            ("mmkv/main", None),
        ] {
            assert_eq!(of_path(path).as_deref(), app, "{path}");
        }
    }
}
