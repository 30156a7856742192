"""The lookup flow: may this request be answered from work already done?"""
