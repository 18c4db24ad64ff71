"""The same scenario in virtual time and through real Envoy: do the figures agree?"""

from loadgen.reproduce.agreement.study import AgreementStudy

STUDY = AgreementStudy()
