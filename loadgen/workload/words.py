# ruff: noqa: RUF001, SIM905 -- letters of other scripts look like Latin ones to a linter; lists would be one word a line
"""Small word lists of our own, from which prompt text is put together. Meaning is not wanted, only the look."""

from __future__ import annotations

PROSE = (
    "the of and to in is that for it as with on was by this are from at which or have an they been their more has "
    "would about when there can could some into time other then now only its over also after first many most people "
    "because should while between through during before without another question answer reason example system report "
    "morning weather garden river mountain history science engine letter window market teacher student energy water "
    "explain compare describe summarize consider suggest improve measure understand remember travel build choose "
    "however therefore although usually recently carefully several important different possible necessary available"
).split()

NAMES = (
    "count total index value items result buffer offset limit config client server request response payload token "
    "batch queue worker cache entry parser reader writer session handler schema record field name path size state"
).split()

CODE_LINES = (
    "def {a}_{b}({c}: int, {d}: str) -> dict[str, int]:",
    "    {a} = self._{b}.get({c}, None)",
    "    for {a}, {b} in enumerate({c}):",
    "        if {a} is None or len({b}) == 0:",
    '            raise ValueError(f"no {a} in {{{b}!r}}")',
    "        {a}[{b}] += {c} * {n}",
    "    return {{{a}: {b} for {a}, {b} in {c}.items() if {b} > {n}}}",
    "",
    "class {A}{B}({C}Base):",
    '    """Keeps the {a} of one {b} while its {c} is being written, and the {d} after that."""',
    "    def __init__(self, {a}: {A}, *, {b}: float = {n}.0) -> None:",
    "        self._{a} = {a}",
    "    async with {a}.open({b}, timeout={n}) as {c}:",
    "        await {a}.send({b}[{c} : {c} + {n}])",
    "    assert {a}.{b} <= {n}, {c}",
    "    # the {a} has to be written before its {b}, or the {c} is lost when {d} fails",
    "    from {a}.{b} import {c}_{d}, {d}_{a}",
)

JSON_LINES = (
    '{{\n    "{a}": {n},\n    "{b}": "{c} {d} {a}",\n    "{d}_{a}": ["{b}", "{c}", "{d}"]\n  }},',
    '{{"id": "{a}-{m}", "{b}": {{"{c}": true, "{d}": null}}, "description": "the {a} of every {c} without {d}"}},',
    '{{"{a}": "{b} {c} {d}", "{c}_{d}": {n}.{m}, "tags": ["{a}", "{b}"]}},',
    '{{"type": "object", "properties": {{"{a}": {{"type": "string"}}, "{b}": {{"type": "integer"}}}}}},',
)

CHINESE = (
    "我们 你们 今天 明天 因为 所以 但是 如果 可以 需要 问题 回答 时间 地方 工作 学习 中国 城市 天气 朋友 公司 产品 "
    "系统 数据 分析 方法 结果 说明 帮助 比较 建议 计划 重要 简单 不同 可能 已经 非常 关于 根据 通过 这个 那个 一个 的 "
    "是 在 和 有 请 把 了"
).split()

JAPANESE = (
    "私たち あなた 今日 明日 しかし それから もし 必要 質問 答え 時間 場所 仕事 勉強 日本 天気 友達 会社 製品 システム "
    "データ 分析 方法 結果 説明 比較 提案 計画 重要 簡単 について によって という ください します ました です ます は が "
    "を に で と の も コンピュータ サービス"
).split()

OTHER_SCRIPTS = {
    "greek": (
        "και το να είναι από για με που την στο αυτό δεν θα ένα σήμερα αύριο ερώτηση απάντηση χρόνος δουλειά πόλη καιρός "
        "φίλος σύστημα δεδομένα μέθοδος αποτέλεσμα σύγκριση σημαντικό"
    ).split(),
    "ukrainian": (
        "і в на що не це як для до від або якщо тому сьогодні завтра питання відповідь час робота місто погода друг "
        "система дані метод результат порівняння важливо будь ласка поясніть"
    ).split(),
    "hindi": (
        "और का है में से को यह वह नहीं लिए आज कल सवाल जवाब समय काम शहर मौसम दोस्त प्रणाली जानकारी तरीका परिणाम तुलना "
        "महत्वपूर्ण कृपया समझाइए"
    ).split(),
    "korean": (
        "그리고 하지만 오늘 내일 질문 대답 시간 장소 일 공부 한국 날씨 친구 회사 제품 시스템 데이터 분석 방법 결과 설명 비교 "
        "제안 계획 중요한 간단한 무엇 어떻게 합니다 입니다"
    ).split(),
    "thai": (
        "และ ที่ เป็น ใน การ มี ไม่ ของ ได้ วันนี้ พรุ่งนี้ คำถาม คำตอบ เวลา งาน เมือง อากาศ เพื่อน ระบบ ข้อมูล วิธี ผลลัพธ์ "
        "เปรียบเทียบ สำคัญ กรุณา อธิบาย"
    ).split(),
}
