/// What is known: counts by `MANIFEST.tsv` and sqlite3, values read with sqlite3.
const SAMPLES: &[Sample] = &[
    // 32 messages (15 texts, 8 of them sent; 4 places), 5 chats, 8 members; of 7 media items 2 are files, 4 places, 1 what a message quotes.
    Sample {
        path: "ios/ileapp/whatsApp.whatsAppMessages.josh_ios15_ffs.zip!ChatStorage.sqlite",
        rows: &[
            ("ZWAMESSAGE→message", 32, 32),
            ("ZWACHATSESSION→thread", 5, 5),
            ("ZWAGROUPMEMBER→participant", 8, 8),
            ("ZWAPROFILEPUSHNAME→account", 1, 1),
            ("ZWAMEDIAITEM→attachment", 7, 2),
            ("ZWAMEDIAITEM→location", 7, 4),
        ],
        values: &[
            (
                "message",
                &[
                    "3A05BCEAE15CB80C6E30",
                    "\"quoted_key\":\"3A26649A0A496377CB01\"",
                    "\"quoted_text\":\"Makes sense with all the test data you generate.\"",
                ],
            ),
            ("location", &["35.6385040283203", "-78.8760528564453"]),
            ("attachment", &["\"sha256\":\"89fa55657cdcb4885777c42017754a4a3742fc5884057ff7bc126e861c641909"]),
        ],
    },
    // 3 messages, 2 chats.
    Sample {
        path: "ios/mvt-ios_backup/7c/7c7fba66680ef796b916b067077cc246adacf01d",
        rows: &[("ZWAMESSAGE→message", 3, 3), ("ZWACHATSESSION→thread", 2, 2)],
        values: &[],
    },
    // 4 calls, 2 of them came in, 95.1, 100.9, 104.6 and 104.0 seconds.
    Sample {
        path: "ios/ileapp/whatsApp.whatsAppCallHistory.josh_ios15_ffs.zip!CallHistory.sqlite",
        rows: &[("ZWACDCALLEVENT→call", 4, 4)],
        values: &[
            ("call", &["\"duration_s\":95", "\"outgoing\":true", "+19198887386", "\"video\":false", "answered"]),
            ("call", &["\"duration_s\":103", "\"outgoing\":false", "+19198887386", "\"video\":true"]),
        ],
    },
    // 9 contacts, 6 of them with a number and an account.
    Sample {
        path: "ios/ileapp/whatsApp.whatsAppCallHistory.josh_ios15_ffs.zip!ContactsV2.sqlite",
        rows: &[
            ("ZWAADDRESSBOOKCONTACT→contact", 9, 9),
            ("ZWAADDRESSBOOKCONTACT→contact_point", 9, 6),
            ("ZWAADDRESSBOOKCONTACT→account", 9, 6),
        ],
        values: &[("contact_point", &["(919) 888-7386", "+19198887386", "Mobile"])],
    },
    // 2 contacts, +14155550100 and +14155550101.
    Sample {
        path: "ios/mvt-ios_backup/b8/b8548dc30aa1030df0ce18ef08b882cf7ab5212f",
        rows: &[
            ("ZWAADDRESSBOOKCONTACT→contact", 2, 2),
            ("ZWAADDRESSBOOKCONTACT→contact_point", 2, 2),
            ("ZWAADDRESSBOOKCONTACT→account", 2, 2),
        ],
        values: &[("contact_point", &["+14155550100"]), ("contact_point", &["+14155550101"])],
    },
    Sample {
        path: "ios/mvt-ios_backup/e7/e794f6ffcc3c222535f47684a63d5178da3c4500",
        rows: &[("ZWAPHONENUMBERLIDPAIR→account", 1, 1)],
        values: &[("account", &["+14155550100", "@lid"])],
    },
    // 1 message, 1 handle.
    Sample {
        path: "ios/mvt-ios_backup/3d/3d0d7e5fb2ce288813306e4d4636395e047a3d28",
        rows: &[("message→message", 1, 1), ("handle→account", 1, 1)],
        values: &[("message", &["https://badbadbad.example.org/"])],
    },
    // 9 persons; 13 values: 7 numbers, 4 addresses of mail, 1 address, 1 page. Part of it lies in the -wal.
    Sample {
        path: "ios/ileapp/addressBook.addressBook.josh_ios15_ffs.zip!AddressBook.sqlitedb",
        rows: &[("ABPerson→contact", 9, 9), ("ABMultiValue→contact_point", 13, 13)],
        values: &[
            ("contact_point", &["One Apple Park Way, 95014, Cupertino, us, CA, United States", "address"]),
            ("contact_point", &["(919) 888-7386", "Mobile", "phone"]),
            ("contact", &["Thom De'Fer"]),
        ],
    },
    // No person: all its tables are in the -wal.
    Sample {
        path: "ios/ileapp/addressBook.addressBook.mvs_ios_2023.zip!AddressBook.sqlitedb",
        rows: &[("ABPerson→contact", 0, 0), ("ABMultiValue→contact_point", 0, 0)],
        values: &[],
    },
    Sample {
        path: "ios/ileapp/accountData.accountData.josh_ios15_ffs.zip!Accounts3.sqlite",
        rows: &[("ZACCOUNT→account", 19, 19), ("ZACCOUNT→device", 19, 12)],
        values: &[("account", &["Gmail thisisdfir@gmail.com", "com.apple.account.Google"])],
    },
    // plaso: 71 events; 69 visits of 55 addresses, 2 downloads.
    Sample {
        path: "computers/plaso/History",
        rows: &[("visits→visit", 69, 69), ("urls→visit", 55, 0), ("downloads→visit", 2, 2)],
        values: &[],
    },
    // 73 visits of 212 addresses, 2 downloads.
    Sample {
        path: "computers/iped/test_historyChrome",
        rows: &[("visits→visit", 73, 73), ("urls→visit", 212, 158), ("downloads→visit", 2, 2)],
        values: &[],
    },
    Sample {
        path: "computers/velociraptor/ChromeHistory.sqlite",
        rows: &[("visits→visit", 2, 2), ("urls→visit", 1, 0), ("downloads→visit", 0, 0)],
        values: &[],
    },
    // plaso: 25 visits; 6 tombstones.
    Sample {
        path: "computers/plaso/History.db",
        rows: &[("history_visits→visit", 25, 25), ("history_tombstones→visit", 6, 6)],
        values: &[],
    },
    // plaso: 60 messages (31 received, 24 sent); 25 users, 6 chats, 2 attachments.
    Sample {
        path: "ios/plaso/kik.sqlite",
        rows: &[
            ("ZKIKMESSAGE→message", 60, 60),
            ("ZKIKUSER→account", 25, 24),
            ("ZKIKCHAT→thread", 6, 6),
            ("ZKIKATTACHMENT→attachment", 2, 2),
        ],
        values: &[("message", &["G'day mate", "\"outgoing\":true"]), ("message", &["Hi there", "\"outgoing\":false"])],
    },
    // 15 messages, account gen.beringer, 2 contacts, 1 call, 1 SMS, 2 transfers.
    Sample {
        path: "computers/plaso/skype_main.db",
        rows: &[
            ("Messages→message", 15, 15),
            ("Transfers→message", 2, 2),
            ("SMSes→message", 1, 1),
            ("Calls→call", 1, 1),
            ("Contacts→contact", 2, 2),
            ("Accounts→account", 1, 1),
            ("Participants→participant", 4, 4),
            ("Conversations→thread", 2, 2),
        ],
        values: &[("account", &["gen.beringer", "\"is_owner\":true"])],
    },
    // 4 calls, 2 of them came in, 98, 100, 95 and 105 seconds; 5 contacts, 10 numbers.
    Sample {
        path: "android/plaso/viber_data",
        rows: &[
            ("calls→call", 4, 4),
            ("phonebookcontact→contact", 5, 5),
            ("phonebookdata→contact_point", 10, 10),
            ("vibernumbers→account", 1, 1),
        ],
        values: &[
            ("call", &["\"duration_s\":98", "\"outgoing\":false", "\"video\":false"]),
            ("call", &["\"duration_s\":105", "\"outgoing\":true", "\"video\":true"]),
        ],
    },
    // 81 messages (43 texts, 28 HTML), 7 conversations, 10 contacts, 2 users.
    Sample {
        path: "ios/ileapp/teams.teamsMessages.josh_ios15_ffs.zip!66dad.sqlite",
        rows: &[
            ("ZSMESSAGE→message", 81, 81),
            ("ZCONVERSATION→thread", 7, 7),
            ("ZSCONTACT→contact", 10, 10),
            // iLEAPP's own expectations: 9 contacts of the phone, 5 calls, 12 places that were shared.
            ("ZDEVICECONTACTHASH→contact", 9, 9),
            ("ZMESSAGEPROPERTIES→call", 63, 5),
            ("ZMESSAGEPROPERTIES→location", 63, 12),
            ("ZUSER→account", 2, 2),
        ],
        values: &[("message", &["You here yet?", "704382289.392", "8:live:.cid.5638f9306b7b8594"])],
    },
    // plaso: 75 messages in 3 threads.
    Sample {
        path: "ios/plaso/9368974384.db",
        rows: &[("messages→message", 75, 75), ("threads→thread", 3, 3)],
        values: &[
            ("message", &["Clicked over to Threads.", "\"message_type\":\"text\""]),
            ("message", &["Video chat ended", "606597122.8084569", "\"message_type\":\"system\""]),
        ],
    },
    // 18 messages, 7 conversations; 6 of the messages are pictures and videos. Direction as plaso reads it.
    Sample {
        path: "android/plaso/tango_android_tc.db",
        rows: &[("messages→message", 18, 18), ("conversations→thread", 7, 7), ("messages→attachment", 18, 6)],
        values: &[
            ("message", &["Hey! How are you", "\"outgoing\":true", "1452868881609"]),
            ("message", &["big belly", "\"outgoing\":false", "sw9dX9KKt9JIhOxd2Kkv9Q"]),
            ("thread", &["Tango", "mC5mPUPZh1ZsQP2zhN8s-g"]),
        ],
    },
    // 8 notes.
    Sample {
        path: "ios/plaso/NoteStore.sqlite",
        rows: NOTES_PLASO,
        values: &[
            ("message", &["This is my first note.", "607048608.768755"]),
            ("message", &["\"status\":\"locked\"", "My Super Secret Note"]),
        ],
    },
    // iLEAPP: 14 notes, 4 people in 2 shared ones.
    Sample {
        path: "ios/ileapp/notes.notes.josh_ios17_ffs.zip!NoteStore.sqlite",
        rows: NOTES_17,
        values: &[("message", &["My shared iOS 17 note"]), ("message", &["\"status\":\"deleted\"", "743869485.823036"])],
    },
    Sample {
        path: "ios/ileapp/cloudkitSharing.cloudkit_participants.belkasoft_ctf6_ios_device1.zip!NoteStore.sqlite",
        rows: NOTES_16,
        values: &[("message", &["Multi + D (1000 iu)", "717361523.945815"])],
    },
    // 3 notes, 7 folders, 2 accounts.
    Sample {
        path: "computers/plaso/NotesV7.storedata",
        rows: &[("ZNOTE→message", 3, 3), ("ZFOLDER→thread", 7, 7), ("ZACCOUNT→account", 2, 2)],
        values: &[("message", &["example@example.com", "445898261.544614"])],
    },
    // 3 interactions, 3 contacts.
    Sample {
        path: "ios/mvt-ios_backup/1f/1f5a521220a3ad80ebfdc196978df8e7a2e49dee",
        rows: &[("ZINTERACTIONS→message", 3, 3), ("ZCONTACTS→account", 3, 3)],
        values: &[
            ("message", &["\"recipient\":\"+14155550100\"", "\"outgoing\":true"]),
            ("message", &["\"sender\":\"+14155550101\""]),
        ],
    },
    // 1 entry, 1 participant (of no entry).
    Sample {
        path: "ios/mvt-ios_backup/20/2041457d5fe04d39d0ab481178355df6781e6858",
        rows: &[("CalendarItem→message", 1, 1), ("Participant→participant", 1, 0)],
        values: &[("message", &["Super interesting meeting", "2023-04-18T09:15:00Z", "\"sender\":\"user@example.org\""])],
    },
    // iLEAPP's own sample: 114 posts (40 of them direct messages, 45 with files), 255 people, 18 notifications. Part of it lies in the -wal.
    Sample {
        path: "ios/ileapp/mastodon.mastodonDirectMessages.josh_ios17_ffs.zip!shared.sqlite",
        rows: &[
            ("ZSTATUS→message", 114, 114),
            ("ZSTATUS→attachment", 114, 45),
            ("ZMASTODONUSER→account", 255, 255),
            ("ZNOTIFICATION→message", 18, 18),
        ],
        values: &[
            ("message", &["110318322831773686@infosec.exchange", "\"message_type\":\"direct\"", "109449972238908024"]),
            ("account", &["109449926490356798@infosec.exchange", "\"is_owner\":true"]),
        ],
    },
    // plaso: 11 downloads.
    Sample {
        path: "android/plaso/downloads.db",
        rows: &[("downloads→visit", 11, 11)],
        values: &[("visit", &["IMG_1953.jpg", "1668267148279", "com.discord", "cdn.discordapp.com"])],
    },
    // IPED: 1 profile, no message; the miniature profile is of the same account.
    Sample {
        path: "computers/iped/test_skypeS4lStreeguil1.db",
        rows: &[("profilecachev8→account", 1, 1), ("miniprofilecachev8→account", 1, 0), ("messagesv12→message", 0, 0)],
        values: &[("account", &["1996-10-24"])],
    },
    // iLEAPP reads the same table: 206 mails.
    Sample {
        path: "ios/ileapp/gmail.gmailOfflineSearch.josh_ios15_ffs.zip!searchsqlitedb",
        rows: &[("offline_search_content→message", 206, 206)],
        values: &[("message", &["support@wickr.com", "thisisdfir@gmail.com", "msg-f:1766066749758429496", "1684252500303.0"])],
    },
    // plaso: 14 quarantine events.
    Sample {
        path: "computers/plaso/quarantine.db",
        rows: &[("LSQuarantineEvent→visit", 14, 14)],
        values: &[("visit", &["Google Chrome", "394993669.0"])],
    },
];
const NOTES_PLASO: &[(&str, u64, u64)] = &[
    ("ZICNOTEDATA→message", 8, 8),
    ("ZICCLOUDSYNCINGOBJECT→thread", 28, 3),
    ("ZICCLOUDSYNCINGOBJECT→account", 28, 1),
    ("ZICCLOUDSYNCINGOBJECT→participant", 28, 0),
    ("ZICCLOUDSYNCINGOBJECT→attachment", 28, 0),
];
/// Three shares of two people each, as plistlib reads `ZSERVERSHAREDATA`: one row more for each second one.
const NOTES_17: &[(&str, u64, u64)] = &[
    ("ZICNOTEDATA→message", 14, 14),
    ("ZICNOTEPARTICIPANT→participant", 4, 4),
    ("ZICCLOUDSYNCINGOBJECT→thread", 36, 3),
    ("ZICCLOUDSYNCINGOBJECT→account", 39, 7),
    ("ZICCLOUDSYNCINGOBJECT→participant", 39, 6),
    ("ZICCLOUDSYNCINGOBJECT→attachment", 36, 0),
];
const NOTES_16: &[(&str, u64, u64)] = &[
    ("ZICNOTEDATA→message", 6, 6),
    ("ZICCLOUDSYNCINGOBJECT→thread", 9, 2),
    ("ZICCLOUDSYNCINGOBJECT→account", 9, 1),
    ("ZICCLOUDSYNCINGOBJECT→participant", 9, 0),
    ("ZICCLOUDSYNCINGOBJECT→attachment", 9, 0),
];
